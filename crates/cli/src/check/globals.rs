//! Names that lead nowhere: globals, modules, members of modules.

use super::host::Host;
use super::names::Module;
use super::world::{LUA_MODULES, library_names};
use super::{Code, Finding, View, is_library};
use crate::likeness::likest;

pub fn check(view: &View<'_>, findings: &mut Vec<Finding>) {
    undefined(view, findings);
    accidental(view, findings);
    modules(view, findings);
    members(view, findings);
}

fn did_you_mean<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    likest(name, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

fn undefined(view: &View<'_>, findings: &mut Vec<Finding>) {
    if view.is_dynamic() {
        return;
    }
    for (name, at) in &view.facts.reads {
        if view.is_defined(name) || view.facts.tested.contains(name) {
            continue;
        }
        let instance = view.world.host == Host::Instance;
        let hint = match name.as_str() {
            "events" | "log" | "misc" | "socket" | "splay" | "coxpcall" if instance => {
                Some("put `require \"splay.base\"` at the top of the file".to_owned())
            }
            _ if instance && is_library(&format!("splay.{name}")) => {
                Some(format!("put `local {name} = require \"splay.{name}\"` at the top of the file"))
            }
            _ => {
                let known = view.world.globals.iter().map(String::as_str);
                let assigned = view.everywhere().flat_map(|facts| &facts.assigned);
                let locals = view.facts.local_names.iter().map(String::as_str);
                did_you_mean(name, known.chain(assigned.map(|assigned| assigned.name.as_str())).chain(locals))
                    .or_else(|| {
                        let local = view.facts.local_names.contains(name);
                        local.then(|| "a `local` of that name is not in sight here".to_owned())
                    })
            }
        };
        let message = format!("the global `{name}` is read and never assigned: it is nil");
        findings.push(Finding { at: *at, code: Code::UndefinedGlobal, message, hint });
    }
}

fn accidental(view: &View<'_>, findings: &mut Vec<Finding>) {
    let mut told = std::collections::BTreeSet::new();
    for assigned in view.facts.assigned.iter().filter(|assigned| assigned.in_function && !assigned.function) {
        let name = assigned.name.as_str();
        let meant = view.world.globals.contains(name)
            || view.everywhere().any(|facts| {
                facts
                    .assigned
                    .iter()
                    .any(|other| other.name == name && (!other.in_function || other.function))
            });
        if meant || !told.insert(name) {
            continue;
        }
        let message = format!("`{name}` is a global that only functions assign");
        let hint = format!("write `local {name}`, or give it a value at the top level of the file");
        findings.push(Finding { at: assigned.at, code: Code::AccidentalGlobal, message, hint: Some(hint) });
    }
}

fn modules(view: &View<'_>, findings: &mut Vec<Finding>) {
    if view.facts.own_path {
        return;
    }
    for (name, at) in &view.facts.requires {
        if view.world.missing.contains(name) {
            let message = format!("there is no module `{name}`");
            let hint = did_you_mean(name, library_names()).or_else(|| {
                is_library(&format!("splay.{name}")).then(|| format!("did you mean `splay.{name}`?"))
            });
            findings.push(Finding { at: *at, code: Code::UnknownModule, message, hint });
        }
    }
}

/// What `restricted_socket.wrap` adds to a socket module.
const WRAPPED: [&str; 3] = ["infos", "limits", "stats"];

fn members(view: &View<'_>, findings: &mut Vec<Finding>) {
    for (module, name, at) in &view.facts.members {
        let own = (module.canonical(), name.clone());
        let absent = view.world.absent.contains(&(module.clone(), name.clone()))
            && view.everywhere().all(|facts| !facts.own_members.contains(&own));
        // What the program makes of a global is the program's.
        let replaced =
            matches!(module, Module::Global(global) if view.everywhere().any(|f| f.assigns(global)));
        let wrapped = own.0 == "splay.socket" && WRAPPED.contains(&name.as_str());
        if !absent || replaced || wrapped {
            continue;
        }
        let message = format!("`{}` has no `{name}`", module.shown());
        let members = view.world.members.get(module);
        let hint = did_you_mean(name, members.into_iter().flatten().map(String::as_str)).or_else(|| {
            let documented = is_library(&own.0) && !LUA_MODULES.contains(&own.0.as_str());
            documented.then(|| format!("`splay doc {}` tells what it has", module.shown()))
        });
        findings.push(Finding { at: *at, code: Code::UnknownMember, message, hint });
    }
}
