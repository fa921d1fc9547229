use serde::de::DeserializeOwned;

/// Reads JSON text as a `T`. An error says which field does not fit.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| placed(&error))?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// The error, after the place where it is, such as `items[2].price`. Of the document itself nothing is said.
pub(crate) fn placed(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let place = error.path().to_string();
    if place == "." { error.inner().to_string() } else { format!("{place}: {}", error.inner()) }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Order {
        #[expect(dead_code, reason = "only read")]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[expect(dead_code, reason = "only read")]
        price: u32,
    }

    fn error(text: &str) -> String {
        read::<Order>(text).unwrap_err()
    }

    #[test]
    fn an_error_names_the_field() {
        assert!(error("{}").starts_with("missing field `items`"), "{}", error("{}"));
        let wrong = error(r#"{"items":[{"price":1},{"price":"2"}]}"#);
        assert!(wrong.starts_with("items[1].price: invalid type: string \"2\", expected u32"), "{wrong}");
        let unknown = error(r#"{"items":[{"cost":1}]}"#);
        assert!(unknown.contains("unknown field `cost`, expected `price`"), "{unknown}");
    }

    #[test]
    fn what_follows_the_document_is_an_error() {
        assert!(error(r#"{"items":[]} {}"#).starts_with("trailing characters"));
        assert!(read::<Order>(" {\"items\":[]}\n").is_ok());
    }
}
