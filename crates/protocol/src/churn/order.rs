//! Rules in the order in which they are carried out: those that make no sense refused or mended,
//! churn apart.

use std::time::Duration;

use super::script::{Action, Quantity, Rule, Script, When};
use super::{Settings, SourceError};

/// The rules as they are carried out: mended, churn apart, in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Ordered {
    /// The rules.
    pub rules: Vec<Rule>,
    /// What was mended.
    pub warnings: Vec<SourceError>,
}

/// Brings rules into order: refuses or mends those that make no sense, makes churn beside another
/// action a rule of its own.
pub fn order(script: &Script, settings: &Settings) -> Result<Ordered, SourceError> {
    let mut warnings = Vec::new();
    let mut wrong = |rule: &Rule, what: &str, mended: &str| {
        if settings.repair {
            warnings.push(rule.place.error(format!("{what}: {mended}")));
            Ok(())
        } else {
            Err(rule.place.error(what))
        }
    };
    let mut rules = Vec::new();
    for rule in &script.rules {
        let mut rule = rule.clone();
        let alone =
            matches!(rule.action, Action::MaxPopulation(_) | Action::ReplacementRatio(_) | Action::Stop(_));
        if rule.churn.is_some() && alone {
            wrong(&rule, "churn needs `const`, `join` or `leave`", "left out")?;
            rule.churn = None;
        }
        if let When::During(from, to) = rule.when
            && alone
        {
            if matches!(rule.action, Action::Stop(_)) {
                wrong(&rule, "a stop is at an instant (`at`), not in a period", "it is at the end")?;
                rule.when = When::At(to);
            } else {
                wrong(
                    &rule,
                    "a setting is made at an instant (`at`), not in a period",
                    "it is at the beginning",
                )?;
                rule.when = When::At(from);
            }
        }
        if matches!(rule.when, When::At(_)) && rule.churn.is_some() {
            wrong(&rule, "churn needs a period (`from ... to ...`), not an instant", "left out")?;
            rule.churn = None;
        }
        if rule.churn.is_some() && rule.action != Action::Const {
            let churn = rule.churn.take();
            let extra = Rule { action: Action::Const, churn, ..rule.clone() };
            rules.push(rule);
            rules.push(extra);
        } else {
            rules.push(rule);
        }
    }
    rules.sort_by_key(|rule| (rule.when.start(), priority(&rule.action)));
    if let Some(place) = rules.iter().position(|rule| matches!(rule.action, Action::Stop(_))) {
        let stop = rules[place].when.start();
        if let Some(late) = rules.get(place + 1) {
            wrong(late, "this comes after the stop", "left out")?;
            for late in &rules[place + 2..] {
                wrong(late, "this comes after the stop", "left out")?;
            }
            rules.truncate(place + 1);
        }
        for rule in &mut rules[..place] {
            if let When::During(from, to) = rule.when
                && to > stop
            {
                wrong(rule, "this period goes on after the stop", "cut there")?;
                shorten(rule, from, to, from, stop);
            }
        }
    }
    if settings.latest_wins {
        rules = latest_wins(rules);
    }
    Ok(Ordered { rules, warnings })
}

/// Which rules come first at an instant.
pub(super) fn priority(action: &Action) -> u8 {
    match action {
        Action::MaxPopulation(_) | Action::ReplacementRatio(_) => 0,
        Action::Join(_) | Action::Leave(..) => 1,
        Action::Const => 2,
        Action::Stop(_) => 3,
    }
}

/// Makes a rule for `from..to` one for a part of that, with its share of the amounts.
fn shorten(rule: &mut Rule, from: Duration, to: Duration, part_from: Duration, part_to: Duration) {
    let share = (part_to - part_from).as_secs_f64() / (to - from).as_secs_f64();
    let part = |quantity: Quantity| match quantity {
        Quantity::Nodes(nodes) => Quantity::Nodes(nodes * share),
        Quantity::Percent(percent) => Quantity::Percent(percent * share),
    };
    rule.when = When::During(part_from, part_to);
    match &mut rule.action {
        Action::Join(quantity) => *quantity = whole(part(*quantity)),
        Action::Leave(quantity, _) => *quantity = whole(part(*quantity)),
        _ => {}
    }
    if let Some(churn) = &mut rule.churn
        && churn.per.is_none()
    {
        churn.quantity = part(churn.quantity);
    }
}

/// Nodes that join or leave come whole.
fn whole(quantity: Quantity) -> Quantity {
    match quantity {
        Quantity::Nodes(nodes) => Quantity::Nodes(nodes.round()),
        percent => percent,
    }
}

/// Where churn of two rules meets, takes it from the one that began first.
fn latest_wins(rules: Vec<Rule>) -> Vec<Rule> {
    let period = |rule: &Rule| match rule.when {
        When::During(from, to) if rule.churn.is_some() => Some((from, to)),
        _ => None,
    };
    let later: Vec<Option<(Duration, Duration)>> = rules.iter().map(period).collect();
    let mut parts = Vec::new();
    for (index, rule) in rules.into_iter().enumerate() {
        let Some((from, to)) = period(&rule) else {
            parts.push(rule);
            continue;
        };
        let mut free = vec![(from, to)];
        for &(begin, end) in later[index + 1..].iter().flatten() {
            let without = |(from, to): (Duration, Duration)| {
                [(from, to.min(begin)), (from.max(end), to)].into_iter().filter(|(from, to)| from < to)
            };
            free = free.into_iter().flat_map(without).collect();
        }
        for (part_from, part_to) in free {
            let mut part = rule.clone();
            shorten(&mut part, from, to, part_from, part_to);
            parts.push(part);
        }
    }
    parts.sort_by_key(|rule| (rule.when.start(), priority(&rule.action)));
    parts
}
