//! Tests of what is read from panels and made for the core.

mod fields;
mod fuzzing;
mod json_texts;
mod read_json;
mod transform;
mod transform_keeps;
