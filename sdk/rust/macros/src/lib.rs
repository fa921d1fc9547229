//! The attributes of `countersign-sdk`, which re-exports and documents them.

mod agent;
mod data;
mod function;

use proc_macro::TokenStream;

/// Makes a module the agent of this component. A component has exactly one.
///
/// `name` and `version` are what the agent says about itself; otherwise they are those of the Cargo package.
///
/// Every function in the module that is marked `#[function]` is one that the agent offers, under its own name: 1 to 64
/// of the characters `a-z 0-9 _`, starting with a letter. Other items stay as they are.
///
/// A function is `async` and returns a `Result`. Its `Ok` type implements `Serialize` and `JsonSchema`; its `Err` type
/// turns into `countersign_sdk::Error`. Its doc comment becomes its description.
///
/// # Input
///
/// Parameters are the fields of the JSON object that the function takes: `async fn publish(brief: String)` takes
/// `{"brief": …}`. A parameter that is an `Option` may be left out. A parameter may have a doc comment, for the schema,
/// and `#[serde(…)]` attributes such as `default` and `rename`. Its type implements `Deserialize` and `JsonSchema`.
///
/// A single parameter marked `#[input]` takes the whole document instead, whatever JSON it is. A function without
/// parameters ignores its input.
///
/// # Errors
///
/// Input that does not fit is answered with `{"code": "invalid_input", …}`, which names the field, and an unknown field
/// does not fit; a function that the agent does not have, with `{"code": "unknown_function", …}`.
///
/// A panic traps: the execution fails, and its message, with file and line, is in the execution's log.
///
/// # Tests
///
/// The module also gets a type `Agent`, which stands for the agent in tests: see `countersign_sdk::testing`.
#[proc_macro_attribute]
pub fn agent(options: TokenStream, module: TokenStream) -> TokenStream {
    finish(agent::expand(options.into(), module.into()))
}

/// Derives what a type needs to travel as JSON: `Serialize`, `Deserialize` and `JsonSchema`.
///
/// Doc comments become descriptions in the schema. `#[serde(…)]` attributes work as ever.
#[proc_macro_attribute]
pub fn data(options: TokenStream, item: TokenStream) -> TokenStream {
    finish(data::expand(options.into(), item.into()))
}

fn finish(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded.unwrap_or_else(|error| error.to_compile_error()).into()
}
