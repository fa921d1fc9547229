use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The JSON Schema (2020-12) of a type; `{}` for any JSON.
///
/// Types that it is made of are spelled out in their place, because not every model's provider follows `$ref`. It has
/// no title, which would be the name of a Rust type.
pub(crate) fn schema_of<T: JsonSchema + ?Sized>() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    std::mem::take(schema.ensure_object())
}

/// The same as JSON text; none for any JSON.
pub(crate) fn schema_text<T: JsonSchema>() -> Option<String> {
    let schema = schema_of::<T>();
    (!schema.is_empty()).then(|| Value::Object(schema).to_string())
}
