//! What the output of the attributes calls. Not for use by hand: it changes with them.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use serde::de::IgnoredAny;
pub use wit_bindgen;

pub use crate::bindings::countersign::agent::types::{Function, Manifest};
pub use crate::bindings::{Guest, export};

use crate::schema::schema_text;
use crate::{Error, json};

/// What a function of an agent returns.
#[diagnostic::on_unimplemented(
    message = "a function of an agent returns a `Result`, not `{Self}`",
    note = "its `Ok` type implements `Serialize` and `JsonSchema`, its `Err` type turns into `countersign_sdk::Error`"
)]
pub trait Outcome {
    /// What it returns when it succeeds.
    type Output: JsonSchema;
}

impl<T: JsonSchema, E> Outcome for Result<T, E> {
    type Output = T;
}

/// The manifest's entry for a function of `description`, empty for none, that takes any JSON.
pub fn describe<R: Outcome>(name: &str, description: &str) -> Function {
    Function {
        name: name.to_owned(),
        description: (!description.is_empty()).then(|| description.to_owned()),
        input_schema: None,
        output_schema: schema_text::<R::Output>(),
    }
}

/// The same, for a function that takes an `I`.
pub fn describe_with_input<I: JsonSchema, R: Outcome>(name: &str, description: &str) -> Function {
    Function { input_schema: schema_text::<I>(), ..describe::<R>(name, description) }
}

/// Runs a function from JSON to JSON.
pub async fn run<I, O, E>(input: &str, function: impl AsyncFnOnce(I) -> Result<O, E>) -> Result<String, String>
where
    I: DeserializeOwned,
    O: Serialize,
    E: Into<Error>,
{
    let result = match json::read(input) {
        Ok(input) => function(input).await.map_err(Into::into),
        Err(why) => Err(Error::new("invalid_input", why)),
    };
    result
        .and_then(|output| {
            serde_json::to_string(&output).map_err(|error| Error::new("invalid_result", error.to_string()))
        })
        .map_err(|error| error.to_json())
}

/// Writes a line to the log of the execution, and, under test, into the trace.
pub fn note(line: fmt::Arguments<'_>) {
    println!("{line}");
    #[cfg(not(target_family = "wasm"))]
    crate::host::note(line.to_string());
}

/// The error of a call to a function that the agent does not have.
pub fn unknown_function(name: &str) -> String {
    Error::new("unknown_function", format!("this agent has no function `{name}`")).to_json()
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_function_runs_from_json_to_json() {
        let double = async |n: u32| Ok::<_, Error>(n * 2);
        assert_eq!(block_on(run("21", double)), Ok("42".to_owned()));
    }

    #[test]
    fn input_that_does_not_fit_is_refused_as_json() {
        let error = block_on(run("\"x\"", async |n: u32| Ok::<_, Error>(n))).unwrap_err();
        assert!(error.starts_with(r#"{"code":"invalid_input","message":"#), "{error}");
    }

    #[test]
    fn an_error_is_returned_as_json() {
        let fail = async |_: IgnoredAny| Err::<(), _>(Error::new("late", "too late"));
        let error = block_on(run("{}", fail)).unwrap_err();
        assert_eq!(error, r#"{"code":"late","message":"too late"}"#);
    }

    #[test]
    fn any_json_has_no_schema() {
        let function = describe_with_input::<Value, Result<bool, Error>>("f", "");
        assert_eq!(function.input_schema, None);
        assert_eq!(function.output_schema.as_deref(), Some(r#"{"type":"boolean"}"#));
        assert_eq!(function.description, None);
    }
}
