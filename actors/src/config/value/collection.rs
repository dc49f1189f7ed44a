//! Arrays of values, and sections by name.

use super::super::reader::{Field, FromToml, Place, Reader};
use kariz_proto::model::{MAX_SERVICE_NAME_BYTES, MAX_SERVICES, ServiceName};
use toml::Spanned;
use toml::de::DeValue;

/// Most elements of an array.
pub(in super::super) const MAX_ELEMENTS: usize = 64;

/// An array of at most [`MAX_ELEMENTS`]; an element with a problem is left out of it.
#[derive(Debug)]
pub(in super::super) struct List<T>(pub(in super::super) Vec<Field<T>>);

impl<T: FromToml> FromToml for List<T> {
    fn from_toml(value: &Spanned<DeValue<'_>>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        let DeValue::Array(array) = value.get_ref() else {
            reader.error(
                place,
                T::shown(value.get_ref()),
                "expected an array such as [\"...\", \"...\"]",
            );
            return None;
        };
        if array.is_empty() || array.len() > MAX_ELEMENTS {
            let expected = format!("{} elements, expected 1 to {MAX_ELEMENTS}", array.len());
            reader.error(place, None, expected);
            return None;
        }
        let mut list = Vec::with_capacity(array.len());
        for (index, element) in array.iter().enumerate() {
            let mut slot = None;
            reader.fill(&mut slot, element, &reader.element(place, index, element.span().start));
            list.extend(slot);
        }
        Some(Self(list))
    }

    fn shown(_: &DeValue<'_>) -> Option<String> {
        None
    }
}

/// The services of a section by name: at most [`MAX_SERVICES`].
#[derive(Debug)]
pub(in super::super) struct Services<T>(pub(in super::super) Vec<(ServiceName, Field<T>)>);

impl<T: FromToml> FromToml for Services<T> {
    fn from_toml(value: &Spanned<DeValue<'_>>, place: &Place, reader: &mut Reader<'_>) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else {
            let expected = format!(
                "expected sections by name, not a value of type {}",
                value.get_ref().type_str()
            );
            reader.error(place, None, expected);
            return None;
        };
        if table.len() > MAX_SERVICES {
            reader.error(
                place,
                None,
                format!("{} services, expected at most {MAX_SERVICES}", table.len()),
            );
            return None;
        }
        let mut services = Vec::with_capacity(table.len());
        for (name, service) in table {
            let at = reader.place(place, name.get_ref(), name.span().start);
            let name = name.get_ref();
            if name.is_empty() || name.len() > MAX_SERVICE_NAME_BYTES || name.chars().any(char::is_control) {
                let expected =
                    format!("expected a name of 1 to {MAX_SERVICE_NAME_BYTES} bytes without control characters");
                reader.error(&at, None, expected);
                continue;
            }
            if let Some(value) = T::from_toml(service, &at, reader) {
                let field = Field {
                    value,
                    place: at,
                    shown: None,
                };
                services.push((ServiceName::from(&**name), field));
            }
        }
        Some(Self(services))
    }

    fn shown(_: &DeValue<'_>) -> Option<String> {
        None
    }

    fn paths(path: &str, paths: &mut Vec<String>) {
        T::paths(&format!("{path}.NAME"), paths);
    }
}
