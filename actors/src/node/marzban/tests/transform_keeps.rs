//! What the transformation must not touch: unknown keys at random places, with their order.

use super::super::ascii::to_ascii;
use super::super::read_json::read;
use super::super::transform::transform;
use super::transform::{INBOUND, RULE, additions};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A configuration without anything of the node's, with places to put keys at.
fn plain() -> Value {
    json!({
        "log": { "loglevel": "warning" },
        "inbounds": [
            { "tag": "VLESS", "protocol": "vless", "settings": { "clients": [{ "id": "a" }, { "id": "b" }] } },
            { "tag": "tunnel", "protocol": "dokodemo-door", "streamSettings": {} },
        ],
        "outbounds": [{ "protocol": "freedom" }],
        "routing": { "balancers": [], "rules": [{ "outboundTag": "block" }, { "type": "field" }] },
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        "-?[1-9][0-9]{0,40}",
        "-?0\\.[0-9]{1,40}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number.prop_map(|number| number.parse().expect("it is a number")),
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The objects in a value.
fn objects(value: &mut Value) -> usize {
    match value {
        Value::Array(elements) => elements.iter_mut().map(objects).sum(),
        Value::Object(members) => 1 + members.values_mut().map(objects).sum::<usize>(),
        _ => 0,
    }
}

/// Puts a key into the object that is `number`th when they are counted, at `place` among its keys.
fn put(value: &mut Value, number: &mut usize, place: prop::sample::Index, key: &str, new: &Value) -> bool {
    match value {
        Value::Array(elements) => elements.iter_mut().any(|element| put(element, number, place, key, new)),
        Value::Object(members) if *number == 0 => {
            // A key that is there already moves, so that the last place is one less.
            let places = members.len() + usize::from(!members.contains_key(key));
            members.shift_insert(place.index(places), key.to_owned(), new.clone());
            true
        }
        Value::Object(members) => {
            *number -= 1;
            members.values_mut().any(|member| put(member, number, place, key, new))
        }
        _ => false,
    }
}

/// Takes out what the node adds, which has to be where it belongs.
fn without_additions(mut transformed: Map<String, Value>) -> Value {
    assert!(transformed.shift_remove("api").is_some() && transformed.shift_remove("stats").is_some());
    let mut first = |path: &[&str]| {
        let (last, parents) = path.split_last().unwrap();
        let object = parents
            .iter()
            .fold(&mut transformed, |object, key| object[*key].as_object_mut().unwrap());
        object[*last].as_array_mut().unwrap().remove(0).to_string()
    };
    assert_eq!(first(&["inbounds"]), INBOUND);
    assert_eq!(first(&["routing", "rules"]), RULE);
    Value::Object(transformed)
}

proptest! {
    #[test]
    fn unknown_keys_survive_where_they_are(
        keys in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), ".*", any_value()), 0..12)
    ) {
        let mut configuration = plain();
        for (object, place, key, value) in keys {
            let mut number = object.index(objects(&mut configuration));
            let key = format!("x-{key}");
            prop_assert!(put(&mut configuration, &mut number, place, &key, &value));
        }
        let before = configuration.to_string();
        let transformed = transform(configuration, &additions(&[])).unwrap();
        let core_reads = read(&String::from_utf8(to_ascii(&transformed)).unwrap()).unwrap();
        prop_assert_eq!(core_reads.to_string(), Value::from(transformed.clone()).to_string());
        prop_assert_eq!(without_additions(transformed).to_string(), before);
    }
}
