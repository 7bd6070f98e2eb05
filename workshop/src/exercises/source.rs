//! Source text as functions: where a body begins and ends.

use std::ops::Range;

use anyhow::{Context, Result, anyhow, bail};
use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::{Block, ImplItem, Item, Type};

/// Where a function stands in a text, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// From its comments to its last brace.
    pub item: Range<usize>,
    /// From its first brace to its last.
    pub body: Range<usize>,
    /// The line of its first brace, counted from 1.
    pub line: usize,
}

/// Finds the function `name`; a method is `Type::method`.
///
/// # Errors
/// When the text is not Rust, with the place where it stops being that; or has no such function.
pub fn find(text: &str, name: &str) -> Result<Place> {
    let file = syn::parse_file(text).map_err(|error| {
        let LineColumn { line, column } = error.span().start();
        anyhow!("line {line}, column {}: {error}", column + 1)
    })?;
    for item in &file.items {
        match item {
            Item::Fn(function) if function.sig.ident == name => {
                return Ok(place(text, function, &function.block));
            }
            Item::Impl(block) => {
                let Some(method) = method_of(&block.self_ty, name) else { continue };
                for item in &block.items {
                    match item {
                        ImplItem::Fn(function) if function.sig.ident == method => {
                            return Ok(place(text, function, &function.block));
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    bail!("there is no function '{name}'")
}

/// The method's own name, if the type is the one that `name` begins with.
fn method_of<'a>(of: &Type, name: &'a str) -> Option<&'a str> {
    let (wanted, method) = name.split_once("::")?;
    let Type::Path(path) = of else { return None };
    (path.path.segments.last()?.ident == wanted).then_some(method)
}

fn place(text: &str, item: &impl Spanned, block: &Block) -> Place {
    let item = item.span();
    let (open, close) = (block.brace_token.span.open(), block.brace_token.span.close());
    let body = offset(text, open.start())..offset(text, close.end());
    Place { item: offset(text, item.start())..body.end, body, line: open.start().line }
}

/// A line and a column, which counts characters, as an offset in bytes.
fn offset(text: &str, at: LineColumn) -> usize {
    let before: usize = text.split_inclusive('\n').take(at.line - 1).map(str::len).sum();
    let line = &text[before..];
    before + line.char_indices().nth(at.column).map_or(line.len(), |(index, _)| index)
}

/// The text with another body for the function `name`.
///
/// # Errors
/// As [`find`].
pub fn with_body(text: &str, name: &str, body: &str) -> Result<String> {
    let place = find(text, name)?;
    Ok([&text[..place.body.start], body, &text[place.body.end..]].concat())
}

/// The text with nothing but `todo!("…")` in the function `name`.
///
/// # Errors
/// As [`find`].
pub fn cut(text: &str, name: &str, todo: &str) -> Result<String> {
    let place = find(text, name)?;
    let indent = indent(text, place.body.end - 1);
    let body = format!("{{\n{indent}    todo!(\"{todo}\")\n{indent}}}");
    with_body(text, name, &body).with_context(|| format!("cut {name}"))
}

/// The blanks before the line in which `at` stands.
fn indent(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = &text[start..];
    &line[..line.len() - line.trim_start().len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "/// Ä.\nfn one() -> u8 {\n    // }\n    1\n}\n\nstruct S;\n\nimpl S {\n    /// Two.\n    pub fn two(&self) -> &str {\n        \"}\"\n    }\n}\n";

    #[test]
    fn finds_functions_and_methods() {
        let one = find(TEXT, "one").unwrap();
        assert_eq!(&TEXT[one.item.clone()], "/// Ä.\nfn one() -> u8 {\n    // }\n    1\n}");
        assert_eq!(&TEXT[one.body], "{\n    // }\n    1\n}");
        assert_eq!(one.line, 2);
        let two = find(TEXT, "S::two").unwrap();
        assert_eq!(&TEXT[two.body], "{\n        \"}\"\n    }");
        assert!(find(TEXT, "two").is_err());
        assert!(find("fn broken( {", "broken").unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn cuts_a_body() {
        let text = cut(TEXT, "S::two", "say two").unwrap();
        assert!(text.contains("-> &str {\n        todo!(\"say two\")\n    }\n}\n"), "{text}");
        assert!(text.starts_with(&TEXT[..40]));
    }
}
