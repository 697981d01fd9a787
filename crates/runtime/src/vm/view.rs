//! Reads a program's global `view` when its instance ends. The functions in it run on the main
//! state, outside any thread: what waits there raises an error.

use mlua::ffi;

use super::ctx::Ctx;
use super::stack::{Kind, Stack};
use crate::host::Mode;
use crate::view::{Link, Peer, Place, Trouble, View};

/// In this order: what a picture needs most comes first, should the time for it run out.
const FIELDS: [&str; 6] = ["id", "size", "bits", "parent", "links", "label"];

/// Links beyond these are left out: a picture with more shows nothing.
const MAX_LINKS: usize = 4096;

/// Longest label, in characters.
const MAX_LABEL: usize = 120;

/// Why a field's function gave no value.
struct Refusal {
    message: String,
    /// It ran longer than a slice: there is no time for the others.
    cut: bool,
}

impl Ctx {
    /// What the program shows of itself; `None` if it declares nothing. Errors of the program's
    /// functions are told in the view.
    pub(super) fn view(&self) -> Option<View> {
        // A plain interpreter draws nothing; after a panic no Lua code may run.
        if matches!(self.mode, Mode::Interpreter) || std::thread::panicking() {
            return None;
        }
        let stack = self.main_stack();
        let top = stack.top();
        stack.reserve(16);
        raw_field(stack, ffi::LUA_GLOBALSINDEX, "view");
        let read = || if stack.kind(-1) == Kind::Table { self.read_fields(stack, top + 1) } else { None };
        let view = match &self.heap {
            Some(heap) => heap.with_room(read),
            None => read(),
        };
        stack.set_top(top);
        view
    }

    fn read_fields(&self, stack: Stack, table: i32) -> Option<View> {
        let (mut view, mut declared) = (View::default(), false);
        for field in FIELDS {
            stack.set_top(table);
            raw_field(stack, table, field);
            if stack.is_nil(-1) {
                continue;
            }
            declared = true;
            if stack.kind(-1) == Kind::Function
                && let Err(Refusal { message, cut }) = self.ask(stack)
            {
                view.troubles.push(Trouble { field: field.to_owned(), message });
                if cut {
                    break;
                }
                continue;
            }
            let troubles = take(&mut view, field, stack, table + 1);
            view.troubles
                .extend(troubles.into_iter().map(|message| Trouble { field: field.to_owned(), message }));
        }
        declared.then_some(view)
    }

    /// Calls the function on top, within the slice and the memory of the program.
    fn ask(&self, stack: Stack) -> Result<(), Refusal> {
        let (answered, cut) = self.limited_call(stack, 0, 1);
        if answered {
            return Ok(());
        }
        let message = match stack.kind(-1) {
            Kind::String => stack.text(-1).unwrap_or_default(),
            _ => format!("(error object is a {} value)", stack.type_name(-1)),
        };
        let message = match message.contains("attempt to yield") {
            true => "it waits, which functions of `view` may not".to_owned(),
            false => message,
        };
        Err(Refusal { message, cut })
    }

    /// Calls the function below its arguments on the main state, within the slice and the memory of
    /// the program: whether it returned, and whether it was cut because it ran too long.
    pub(crate) fn limited_call(&self, stack: Stack, arguments: i32, results: i32) -> (bool, bool) {
        if let Some(watch) = &self.watch {
            watch.begin();
        }
        if let Some(heap) = &self.heap {
            heap.begin();
        }
        let answered = stack.protected_call(arguments, results, 0);
        if let Some(heap) = &self.heap {
            heap.end();
        }
        let cut = self.watch.as_ref().is_some_and(|watch| watch.end(self.main));
        (answered, cut)
    }
}

/// Pushes `table[name]` without metamethods.
fn raw_field(stack: Stack, table: i32, name: &str) {
    stack.push_str(name);
    stack.raw_get(table);
}

/// Puts the value at `index` into its field, and tells what is wrong with it.
fn take(view: &mut View, field: &str, stack: Stack, index: i32) -> Vec<String> {
    let kind = stack.kind(index);
    let wrong = |expected: &str| vec![format!("{expected} expected, got {}", stack.type_name(index))];
    match (field, kind) {
        ("parent", Kind::Nil) => view.parent = Some(None),
        (_, Kind::Nil) => {}
        ("parent", Kind::Boolean) if !stack.truth(index) => {}
        ("id", _) => match place(stack, index) {
            Ok(id) => view.id = Some(id),
            Err(message) => return vec![message],
        },
        ("size" | "bits", _) => match stack.number(index) {
            Some(size) if !size.is_finite() || size < 1.0 => return vec![format!("{size} is not a size")],
            Some(size) if field == "size" => view.size = Some(size),
            Some(bits) => view.bits = Some(bits as u32),
            None => return wrong("number"),
        },
        ("parent", _) => match peer(stack, index) {
            Ok(parent) => view.parent = Some(Some(parent)),
            Err(message) => return vec![message],
        },
        ("links", Kind::Table) => {
            let (mut links, trouble) = gather(stack, index, &|index| links_of(stack, index));
            let mut troubles: Vec<String> = trouble.into_iter().collect();
            if links.len() > MAX_LINKS {
                troubles.push(format!("{} links, of which {MAX_LINKS} are kept", links.len()));
                links.truncate(MAX_LINKS);
            }
            view.links = Some(links);
            return troubles;
        }
        ("label", Kind::String | Kind::Number) => view.label = words(stack, index),
        ("links", _) => return wrong("table of nodes"),
        _ => return wrong("text"),
    }
    Vec::new()
}

/// A text of reasonable length, of a string or number.
fn words(stack: Stack, index: i32) -> Option<String> {
    match stack.kind(index) {
        Kind::Number => stack.number(index).map(|number| number.to_string()),
        Kind::String => stack.text(index).map(|text| text.chars().take(MAX_LABEL).collect()),
        _ => None,
    }
}

fn place(stack: Stack, index: i32) -> Result<Place, String> {
    match stack.kind(index) {
        Kind::Number => match stack.number(index) {
            Some(id) if id.is_finite() && id >= 0.0 => Ok(Place::Number(id)),
            id => Err(format!("{} is no place on a ring", id.unwrap_or_default())),
        },
        Kind::String => {
            let text = stack.text(index).unwrap_or_default();
            let digits = text.strip_prefix("0x").unwrap_or(&text);
            match !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                true => Ok(Place::Digits(text)),
                false => Err(format!("{text:?} is neither a decimal nor a hexadecimal number")),
            }
        }
        _ => Err(format!("number or text of digits expected, got {}", stack.type_name(index))),
    }
}

/// A node: a table with `ip` and `port`, or the text `ip:port`.
fn peer(stack: Stack, index: i32) -> Result<Peer, String> {
    let (ip, port, id) = match stack.kind(index) {
        Kind::String => {
            let text = stack.text(index).unwrap_or_default();
            let (ip, port) = text.rsplit_once(':').ok_or(format!("{text:?} is not `ip:port`"))?;
            (ip.to_owned(), port.parse().ok(), None)
        }
        Kind::Table => {
            let top = stack.top();
            ["ip", "port", "id"].into_iter().for_each(|name| raw_field(stack, index, name));
            let ip = (stack.kind(top + 1) == Kind::String).then(|| stack.text(top + 1)).flatten();
            let port = stack.number(top + 2);
            let id = place(stack, top + 3).ok();
            stack.set_top(top);
            (ip.ok_or("a node needs an `ip`")?, port, id)
        }
        _ => return Err(format!("node expected, got {}", stack.type_name(index))),
    };
    match port {
        Some(port) if (1.0..=65535.0).contains(&port) => Ok(Peer { ip, port: port as u16, id }),
        _ => Err(format!("node {ip} needs a `port`")),
    }
}

/// What is found in a table's values, and the first thing that is wrong with them.
type Found = (Vec<Link>, Option<String>);

/// What `read` finds in the values of a table, in the order of its keys; keys that are no numbers
/// come last, in the order of the addresses, since their own differs from run to run.
fn gather(stack: Stack, table: i32, read: &dyn Fn(i32) -> Found) -> Found {
    let (mut found, mut trouble) = (Vec::new(), None);
    let key = stack.top() + 1;
    stack.push_nil();
    while stack.next(table) {
        let order = match stack.kind(key) {
            Kind::Number => stack.number(key).unwrap_or(f64::INFINITY),
            _ => f64::INFINITY,
        };
        // `nil` and `false` stand for no link, as in `{ successor, predecessor or false }`.
        if stack.truth(key + 1) {
            let (links, wrong) = read(key + 1);
            found.push((order, links));
            trouble = trouble.or(wrong);
        }
        stack.pop(1);
    }
    let first = |links: &[Link]| links.first().map(|link| (link.to.ip.clone(), link.to.port));
    found.sort_by(|(a, one), (b, other)| a.total_cmp(b).then_with(|| first(one).cmp(&first(other))));
    (found.into_iter().flat_map(|(_, links)| links).collect(), trouble)
}

/// What an entry of `links` stands for: a node, or a table with one or an array of them in `to`.
/// `{ to = nil, kind = "finger" }` is none.
fn links_of(stack: Stack, index: i32) -> Found {
    let one = |index, label: Option<String>, kind: Option<String>| match peer(stack, index) {
        Ok(to) => (vec![Link { to, label, kind }], None),
        Err(message) => (Vec::new(), Some(message)),
    };
    if stack.kind(index) != Kind::Table || has_address(stack, index) {
        return one(index, None, None);
    }
    let top = stack.top();
    ["to", "label", "kind"].into_iter().for_each(|name| raw_field(stack, index, name));
    let (target, label, kind) = (top + 1, words(stack, top + 2), words(stack, top + 3));
    let found = match stack.truth(target) {
        false if label.is_none() && kind.is_none() => {
            (Vec::new(), Some("a link is a node, or a table with nodes in `to`".to_owned()))
        }
        false => (Vec::new(), None),
        true if stack.kind(target) == Kind::Table && !has_address(stack, target) => {
            gather(stack, target, &|index| one(index, label.clone(), kind.clone()))
        }
        true => one(target, label, kind),
    };
    stack.set_top(top);
    found
}

fn has_address(stack: Stack, table: i32) -> bool {
    raw_field(stack, table, "ip");
    let has = !stack.is_nil(-1);
    stack.pop(1);
    has
}
