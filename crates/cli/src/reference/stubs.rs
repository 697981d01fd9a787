//! Stubs for editors: one file per module with all that it offers, in LuaLS's annotations. The
//! sources alone do not do: a part of them is native, another is found by name when it is first
//! asked for, and no editor can follow either.

use crate::annotations::{Entry, Module, Type};
use crate::catalogue::{GLOBALS, NATIVE, Named};
use crate::reference::{File, same_as};

/// First line of each file but for what is written by hand.
const MADE: &str = "-- Made by `splay doc --stubs` from the libraries' comments: changes are lost.";

/// The files: those of the modules in `library/`, and what is described by hand.
pub fn stubs(catalogue: &[Named]) -> Vec<File> {
    let made = catalogue.iter().filter(|(name, _)| *name != GLOBALS).map(|(name, module)| File {
        path: format!("library/{}.lua", name.replace('.', "/")),
        text: stub(name, module),
    });
    let native = NATIVE
        .iter()
        .map(|(name, _, source)| File { path: format!("{name}.lua"), text: (*source).to_owned() });
    native.chain(made).collect()
}

fn stub(name: &str, module: &Module) -> String {
    let mut text = format!("---@meta {name}\n{MADE}\n\n");
    if let Some(other) = same_as(name) {
        let value = match name.strip_prefix(other).filter(|_| module.entries.is_empty()) {
            // `crypto.evp` is a field of `crypto`; `cjson.safe` is of the same kind as `cjson`.
            Some(field) if other == "crypto" => format!("require(\"{other}\"){field}"),
            _ => format!("require(\"{other}\")"),
        };
        return format!("{text}return {value}\n");
    }
    // What is described by hand has its own file.
    let by_hand = |kind: &Type| {
        NATIVE.iter().any(|(_, _, source)| kind.source.iter().all(|line| source.contains(line.as_str())))
    };
    let mut classes: Vec<&str> = vec!["M"];
    // Where an object is called like its module, the module's table has no name.
    let declares = |line: &String| {
        [format!("---@class {name}"), format!("---@alias {name}")].iter().any(|declared| {
            line.strip_prefix(declared).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ':']))
        })
    };
    let taken = module
        .types
        .iter()
        .any(|kind| kind.variable.as_deref() != Some("M") && kind.source.iter().any(declares));
    let mut own = if taken { Vec::new() } else { vec![format!("---@class {name}")] };
    // A class that is a field of the module comes with this field.
    let of_field = |kind: &Type| module.entries.iter().any(|entry| entry.source == kind.source);
    for kind in module.types.iter().filter(|kind| !by_hand(kind) && !of_field(kind)) {
        let Some(variable) = kind.variable.as_deref() else {
            text.push_str(&format!("{}\n\n", kind.source.join("\n")));
            continue;
        };
        if variable == "M" {
            // A part of the module may name its own table otherwise.
            if kind.source.iter().any(declares) && own.len() <= kind.source.len() {
                own.clone_from(&kind.source);
            }
        } else {
            classes.push(variable);
            text.push_str(&format!("{}\nlocal {variable} = {{}}\n\n", kind.source.join("\n")));
        }
    }
    own.push("local M = {}\n\n".to_owned());
    text.push_str(&own.join("\n"));
    let mut tables: Vec<&str> = Vec::new();
    for entry in &module.entries {
        let table = entry.class().unwrap_or("M");
        if !classes.contains(&table) {
            continue;
        }
        if let Some((inner, _)) = entry.name.split_once('.').filter(|(inner, _)| !tables.contains(inner)) {
            let described = module.entries.iter().any(|entry| entry.name == inner);
            if !described {
                text.push_str(&format!("M.{inner} = {{}}\n\n"));
            }
            tables.push(inner);
        }
        text.push_str(&declared(entry));
        text.push('\n');
    }
    text.push_str("return M\n");
    text
}

/// The comment of an entry, and the line it describes.
fn declared(entry: &Entry) -> String {
    let path = |name: &str| match name.contains(':') {
        true => name.to_owned(),
        false => format!("M.{name}"),
    };
    if let Some(other) = &entry.same_as {
        let field = |name: &str| path(name).replace(':', ".");
        return format!("{} = {}\n", field(&entry.name), field(other));
    }
    let comment = entry.source.join("\n");
    let line = match (&entry.parameters, &entry.literal, &entry.kind) {
        (Some(parameters), ..) => format!("function {}({}) end", path(&entry.name), parameters.join(", ")),
        (None, Some(literal), None) => format!("M.{} = {literal}", entry.name),
        (None, None, Some(_)) if comment.contains("---@class") => format!("M.{} = {{}}", entry.name),
        (None, None, None) => format!("M.{} = {{}}", entry.name),
        (None, _, Some(_)) => format!("M.{} = nil", entry.name),
    };
    format!("{comment}\n{line}\n")
}
