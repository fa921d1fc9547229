use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::parse::Parser;
use syn::{Error, Item, ItemMod, LitStr, Result};

use crate::function::Function;

pub(crate) fn expand(options: TokenStream, module: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options)?;
    let module: ItemMod = syn::parse2(module)?;
    let ItemMod { attrs, vis, ident, content, .. } = &module;
    let Some((_, items)) = content else {
        return Err(Error::new_spanned(&module, "the module of an agent has its body here, in braces"));
    };

    let mut items = items.clone();
    let functions = take_functions(&mut items)?;
    if let Some(item) = items.iter().find(|item| named(item).is_some_and(|name| name == "Agent")) {
        return Err(Error::new_spanned(item, "`Agent` is the name that `#[agent]` gives to the agent itself"));
    }
    if functions.is_empty() {
        return Err(Error::new_spanned(ident, "an agent has at least one `#[function]`"));
    }
    let guest = guest(&options, &functions);
    Ok(quote! { #(#attrs)* #vis mod #ident { #(#items)* #guest } })
}

/// What stands in the brackets of `#[agent(…)]`.
#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    version: Option<LitStr>,
}

impl Options {
    fn parse(tokens: TokenStream) -> Result<Self> {
        let mut options = Self::default();
        let parser = syn::meta::parser(|meta| {
            let option = if meta.path.is_ident("name") {
                &mut options.name
            } else if meta.path.is_ident("version") {
                &mut options.version
            } else {
                return Err(meta.error("`agent` takes `name` and `version`"));
            };
            *option = Some(meta.value()?.parse()?);
            Ok(())
        });
        parser.parse2(tokens)?;
        Ok(options)
    }
}

/// The functions marked `#[function]`, whose marks are taken away, for the compiler does not know them.
fn take_functions(items: &mut [Item]) -> Result<Vec<Function>> {
    let mut functions = Vec::new();
    for item in items {
        let Item::Fn(item) = item else { continue };
        let marks = item.attrs.len();
        item.attrs.retain(|attr| !attr.path().is_ident("function"));
        if item.attrs.len() < marks {
            functions.push(Function::take(item)?);
        }
    }
    Ok(functions)
}

/// The name of a type that the module defines.
fn named(item: &Item) -> Option<&Ident> {
    match item {
        Item::Struct(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        _ => None,
    }
}

/// The type of the agent, and its implementation of the component's exports.
fn guest(Options { name, version }: &Options, functions: &[Function]) -> TokenStream {
    let name = name.as_ref().map_or_else(|| quote!(env!("CARGO_PKG_NAME")), |name| quote!(#name));
    let version = version.as_ref().map_or_else(|| quote!(env!("CARGO_PKG_VERSION")), |version| quote!(#version));
    let inputs = functions.iter().map(Function::input_struct);
    let descriptions = functions.iter().map(Function::description);
    let arms = functions.iter().map(Function::arm);
    quote! {
        /// The agent that this module is, for its tests.
        #[allow(dead_code, unreachable_pub, reason = "only tests name it")]
        #[derive(Clone, Copy, Debug)]
        pub struct Agent;

        const _: () = {
            #(#inputs)*

            impl ::countersign_sdk::macro_support::Guest for Agent {
                fn describe() -> ::countersign_sdk::macro_support::Manifest {
                    ::countersign_sdk::macro_support::Manifest {
                        name: ::std::string::String::from(#name),
                        version: ::std::string::String::from(#version),
                        functions: ::std::vec![#(#descriptions),*],
                    }
                }

                async fn run(
                    __function: ::std::string::String,
                    __input: ::std::string::String,
                ) -> ::std::result::Result<::std::string::String, ::std::string::String> {
                    match __function.as_str() {
                        #(#arms)*
                        _ => ::std::result::Result::Err(
                            ::countersign_sdk::macro_support::unknown_function(&__function),
                        ),
                    }
                }
            }

            // Elsewhere the names that it exports would meet those of another agent in the same program.
            #[cfg(target_family = "wasm")]
            ::countersign_sdk::macro_support::export!(Agent with_types_in ::countersign_sdk::bindings);
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(options: TokenStream, module: TokenStream) -> String {
        expand(options, module).expect_err("this is no agent").to_string()
    }

    #[test]
    fn an_agent_exports_its_functions_and_keeps_its_items() {
        let module = quote! {
            pub mod shop {
                const TAX: u32 = 19;
                /// Sells.
                /// Fast.
                #[function]
                pub async fn sell(item: String, #[serde(default)] count: u32) -> Result<(), Error> { Ok(()) }
                fn helper() {}
            }
        };
        let expanded = expand(quote!(name = "shop", version = "2.0.0"), module).expect("this is an agent");
        syn::parse2::<ItemMod>(expanded.clone()).expect("the output is one module");

        let text = expanded.to_string();
        for part in
            ["const TAX", "fn helper", "\"shop\"", "\"2.0.0\"", "\"Sells.\\nFast.\"", "self :: sell (item , count)"]
        {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert!(!text.contains("# [function]"), "the mark is left in {text}");
    }

    #[test]
    fn name_and_version_default_to_those_of_the_package() {
        let module = quote! { mod shop { #[function] async fn sell() -> Result<(), Error> { Ok(()) } } };
        let text = expand(TokenStream::new(), module).expect("this is an agent").to_string();
        assert!(text.contains("CARGO_PKG_NAME") && text.contains("CARGO_PKG_VERSION"));
    }

    #[test]
    fn what_is_no_agent_is_refused() {
        assert!(error(quote!(color = "red"), quote! { mod a {} }).contains("takes `name` and `version`"));
        assert!(error(TokenStream::new(), quote! { mod a; }).contains("in braces"));
        assert!(error(TokenStream::new(), quote! { mod a { async fn f() {} } }).contains("at least one"));
        let taken = quote! { mod a { struct Agent; #[function] async fn f() -> R {} } };
        assert!(error(TokenStream::new(), taken).contains("`Agent` is the name"));
    }
}
