//! `#` of a table with holes: what it gives is any of the borders.

use std::collections::BTreeMap;

use super::names::path;
use super::tree::{
    Chunk, Expr, ExprKind, Item, Local, Place, Stat, StatKind, Visitor, walk_block, walk_expr, walk_stat,
};
use super::{Code, Finding, View};

pub fn check(view: &View<'_>, findings: &mut Vec<Finding>) {
    let mut seeker =
        Seeker { view, lengths: BTreeMap::new(), holes: Vec::new(), loops: Vec::new(), conditions: 0 };
    walk_block(&mut seeker, &view.chunk.body);
    for Hole { table, at, how } in seeker.holes {
        let Some(measured) = seeker.lengths.get(&table) else { continue };
        let message = format!("{how}, and line {} measures the table with `#`", measured.line);
        let hint = match how {
            CONSTRUCTED => "count the values, or use `false` for what is missing",
            _ => "use `table.remove`, from the end when in a loop",
        };
        findings.push(Finding { at, code: Code::NilHole, message, hint: Some(hint.to_owned()) });
    }
}

const CONSTRUCTED: &str = "a `nil` among the values leaves a hole";
const REMOVED: &str = "setting an entry to nil leaves a hole";

struct Hole {
    table: String,
    at: Place,
    how: &'static str,
}

/// A loop over a table's entries.
struct Loop {
    table: String,
    key: Local,
    /// How many conditions the loop itself is under.
    conditions: usize,
}

struct Seeker<'a> {
    view: &'a View<'a>,
    /// Tables measured, and where first.
    lengths: BTreeMap<String, Place>,
    holes: Vec<Hole>,
    loops: Vec<Loop>,
    conditions: usize,
}

fn chunk_local(chunk: &Chunk, local: Local) -> Option<String> {
    (!chunk.locals[local].reassigned).then(|| format!("local {local}"))
}

/// The place of a `nil` among a constructor's values.
fn nil_value(items: &[Item]) -> Option<Place> {
    items.iter().find_map(|item| match item {
        Item::Positional(Expr { at, kind: ExprKind::Nil }) => Some(*at),
        _ => None,
    })
}

impl Seeker<'_> {
    fn table_of_loop(&self, stat: &Stat) -> Option<(String, Local)> {
        match &stat.kind {
            StatKind::ForIn(names, values, _) => {
                let [value] = &values[..] else { return None };
                let call = value.call()?;
                let walker = self.view.names.builtin(&call.callee)?;
                (walker == "pairs" || walker == "ipairs").then_some(())?;
                Some((path(call.arguments.first()?)?, *names.first()?))
            }
            StatKind::For(name, values, _) => match &values[..] {
                [Expr { kind: ExprKind::Number(start), .. }, Expr { kind: ExprKind::Length(table), .. }]
                    if start == "1" =>
                {
                    Some((path(table)?, *name))
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn removal(&mut self, target: &Expr) {
        let ExprKind::Index(object, key) = &target.kind else { return };
        let Some(table) = path(object) else { return };
        let in_loop = matches!(key.bare().kind, ExprKind::Local(key) if self.loops.iter().any(|walk| {
            walk.key == key && walk.table == table && self.conditions > walk.conditions
        }));
        let literal = matches!(&key.bare().kind, ExprKind::Number(_));
        if in_loop || literal {
            self.holes.push(Hole { table, at: target.at, how: REMOVED });
        }
    }
}

impl Visitor for Seeker<'_> {
    fn stat(&mut self, stat: &Stat) {
        let walk = self.table_of_loop(stat);
        if let Some((table, key)) = &walk {
            let conditions = self.conditions;
            self.loops.push(Loop { table: table.clone(), key: *key, conditions });
        }
        let conditional = matches!(stat.kind, StatKind::If(..));
        self.conditions += usize::from(conditional);
        match &stat.kind {
            StatKind::Assign(targets, values) => {
                for (target, value) in targets.iter().zip(values) {
                    if matches!(value.bare().kind, ExprKind::Nil) {
                        self.removal(target);
                    }
                }
            }
            StatKind::Local(locals, values) => {
                for (&local, value) in locals.iter().zip(values) {
                    if let ExprKind::Table(items) = &value.kind
                        && let Some(at) = nil_value(items)
                        && let Some(table) = chunk_local(self.view.chunk, local)
                    {
                        self.holes.push(Hole { table, at, how: CONSTRUCTED });
                    }
                }
            }
            _ => {}
        }
        walk_stat(self, stat);
        self.conditions -= usize::from(conditional);
        if walk.is_some() {
            self.loops.pop();
        }
    }

    fn expr(&mut self, expr: &Expr) {
        if let ExprKind::Length(table) = &expr.kind {
            if let Some(table) = path(table) {
                self.lengths.entry(table).or_insert(expr.at);
            } else if let ExprKind::Table(items) = &table.bare().kind
                && let Some(at) = nil_value(items)
            {
                let table = format!("constructor {}:{}", at.line, at.column);
                self.lengths.insert(table.clone(), expr.at);
                self.holes.push(Hole { table, at, how: CONSTRUCTED });
            }
        }
        walk_expr(self, expr);
    }
}
