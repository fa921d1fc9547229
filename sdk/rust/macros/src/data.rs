use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, Result};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !options.is_empty() {
        return Err(Error::new_spanned(options, "`data` takes no options"));
    }
    let item: DeriveInput = syn::parse2(item)?;
    let derives = derives();
    Ok(quote! { #[derive(::countersign_sdk::serde::Serialize)] #derives #item })
}

/// The attributes for what a type needs to be read from JSON and to have a schema.
///
/// The paths make them work in a crate that depends on neither serde nor schemars itself.
pub(crate) fn derives() -> TokenStream {
    quote! {
        #[derive(::countersign_sdk::serde::Deserialize, ::countersign_sdk::schemars::JsonSchema)]
        #[serde(crate = "::countersign_sdk::serde")]
        #[schemars(crate = "::countersign_sdk::schemars")]
    }
}
