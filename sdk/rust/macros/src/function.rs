use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::{Attribute, Error, Expr, FnArg, ItemFn, Lit, Meta, Pat, Result, ReturnType, Type};

use crate::data::derives;

/// A function that the agent offers.
pub(crate) struct Function {
    ident: Ident,
    /// Under which it is offered.
    name: String,
    /// Its doc comment; empty if it has none.
    doc: String,
    input: Input,
    output: Type,
}

/// What a function takes.
enum Input {
    Nothing,
    /// The whole document, as a value of this type.
    Document(Box<Type>),
    /// An object with these fields.
    Fields(Vec<Field>),
}

/// A parameter that is a field of the input.
struct Field {
    attrs: Vec<Attribute>,
    ident: Ident,
    ty: Type,
}

impl Function {
    /// Reads a function, and takes from its parameters what only this crate understands.
    pub(crate) fn take(item: &mut ItemFn) -> Result<Self> {
        let ident = item.sig.ident.clone();
        let name = ident.unraw().to_string();
        if !is_name(&name) {
            return Err(Error::new_spanned(
                ident,
                "a function's name is 1 to 64 of a-z, 0-9 and _, starting with a letter",
            ));
        }
        if item.sig.asyncness.is_none() {
            return Err(Error::new_spanned(&item.sig, "a function of an agent is `async`"));
        }
        if !item.sig.generics.params.is_empty() {
            return Err(Error::new_spanned(&item.sig.generics, "a function of an agent is not generic"));
        }
        let ReturnType::Type(_, output) = &item.sig.output else {
            return Err(Error::new_spanned(&item.sig, "a function of an agent returns a `Result`"));
        };
        let output = (**output).clone();
        Ok(Self { doc: doc_text(&item.attrs), input: Input::take(item)?, ident, name, output })
    }

    /// The type of the input, if the parameters are its fields.
    pub(crate) fn input_struct(&self) -> TokenStream {
        let Input::Fields(fields) = &self.input else {
            return TokenStream::new();
        };
        let (derives, ident, name) = (derives(), self.input_ident(), &self.name);
        let fields = fields.iter().map(|Field { attrs, ident, ty }| quote! { #(#attrs)* #ident: #ty });
        quote! {
            #derives
            #[serde(rename = #name, deny_unknown_fields)]
            struct #ident { #(#fields),* }
        }
    }

    /// The function's entry in the manifest.
    pub(crate) fn description(&self) -> TokenStream {
        let Self { name, doc, output, .. } = self;
        let input = match &self.input {
            Input::Nothing => {
                return quote! { ::countersign_sdk::macro_support::describe::<#output>(#name, #doc) };
            }
            Input::Document(ty) => ty.to_token_stream(),
            Input::Fields(_) => self.input_ident().into_token_stream(),
        };
        quote! { ::countersign_sdk::macro_support::describe_with_input::<#input, #output>(#name, #doc) }
    }

    /// The arm of the `match` on the function's name that runs it.
    pub(crate) fn arm(&self) -> TokenStream {
        let Self { ident, name, .. } = self;
        // `self::`, because a parameter may bear the function's name.
        let function = match &self.input {
            Input::Nothing => {
                quote! { async |_: ::countersign_sdk::macro_support::IgnoredAny| self::#ident().await }
            }
            Input::Document(ty) => {
                quote! { async |__document: #ty| self::#ident(__document).await }
            }
            Input::Fields(fields) => {
                let (input, fields) = (self.input_ident(), fields.iter().map(|field| &field.ident).collect::<Vec<_>>());
                quote! { async |#input { #(#fields),* }| self::#ident(#(#fields),*).await }
            }
        };
        quote! { #name => ::countersign_sdk::macro_support::run(&__input, #function).await, }
    }

    fn input_ident(&self) -> Ident {
        let words = self.name.split('_').map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_uppercase() + rest
        });
        format_ident!("__{}Input", words.collect::<String>())
    }
}

impl Input {
    fn take(item: &mut ItemFn) -> Result<Self> {
        let mut fields = Vec::new();
        let mut document = None;
        for parameter in &mut item.sig.inputs {
            let FnArg::Typed(parameter) = parameter else {
                return Err(Error::new_spanned(parameter, "a function of an agent has no `self`"));
            };
            let Pat::Ident(pattern) = &*parameter.pat else {
                return Err(Error::new_spanned(&parameter.pat, "a parameter is a plain name here"));
            };
            let mut attrs = std::mem::take(&mut parameter.attrs);
            let marks = attrs.len();
            attrs.retain(|attr| !attr.path().is_ident("input"));
            if attrs.len() < marks {
                document = Some(parameter.ty.clone());
            }
            fields.push(Field { attrs, ident: pattern.ident.clone(), ty: (*parameter.ty).clone() });
        }
        match document {
            Some(_) if fields.len() > 1 => Err(Error::new_spanned(&item.sig.inputs, "`#[input]` stands alone")),
            Some(ty) => Ok(Self::Document(ty)),
            None if fields.is_empty() => Ok(Self::Nothing),
            None => Ok(Self::Fields(fields)),
        }
    }
}

/// Whether the contract with the host allows this name.
fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The text of a doc comment, without the space that follows its slashes.
fn doc_text(attrs: &[Attribute]) -> String {
    let lines = attrs.iter().filter_map(|attr| {
        let Meta::NameValue(meta) = &attr.meta else {
            return None;
        };
        let Expr::Lit(literal) = &meta.value else {
            return None;
        };
        let Lit::Str(line) = &literal.lit else {
            return None;
        };
        let line = line.value();
        meta.path.is_ident("doc").then(|| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(item: TokenStream) -> Result<Function> {
        Function::take(&mut syn::parse2(item).expect("this is a function"))
    }

    fn error(item: TokenStream) -> String {
        take(item).err().expect("the agent cannot offer this").to_string()
    }

    #[test]
    fn parameters_are_the_fields_of_the_input() {
        let mut item = syn::parse_quote! {
            async fn order_book(/** Its number. */ isbn: String, #[serde(default)] mut count: u32) -> R {}
        };
        let function = Function::take(&mut item).expect("the agent can offer this");
        let input = function.input_struct().to_string();
        assert!(input.contains("struct __OrderBookInput"), "{input}");
        assert!(input.contains("Its number.") && input.contains("# [serde (default)] count : u32"), "{input}");
        // The compiler allows neither doc comments nor `#[serde]` on parameters.
        assert!(!item.to_token_stream().to_string().contains('#'));
    }

    #[test]
    fn one_marked_parameter_is_the_whole_input() {
        let function = take(quote! { async fn echo(#[input] all: Value) -> R {} }).expect("the agent can offer this");
        assert!(function.input_struct().is_empty());
        assert!(function.description().to_string().contains("describe_with_input :: < Value , R >"));
    }

    #[test]
    fn what_the_host_could_not_call_is_refused() {
        assert!(error(quote! { fn f() -> R {} }).contains("`async`"));
        assert!(error(quote! { async fn f() {} }).contains("`Result`"));
        assert!(error(quote! { async fn f<T>(t: T) -> R {} }).contains("generic"));
        assert!(error(quote! { async fn F() -> R {} }).contains("a-z"));
        assert!(error(quote! { async fn _f() -> R {} }).contains("a-z"));
        assert!(error(quote! { async fn f((a, b): (u8, u8)) -> R {} }).contains("plain name"));
        assert!(error(quote! { async fn f(#[input] a: u8, b: u8) -> R {} }).contains("alone"));
    }
}
