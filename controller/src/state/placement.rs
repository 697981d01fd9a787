//! Which splayds get a job's seats. Pure: the same job over the same splayds gives the same seats.
//!
//! A seat goes to the least occupied splayd that fits, counting the seats just given; between
//! equals the job's seed decides. Splayds that must take part come first and count among the
//! instances asked for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use splay_protocol::api::SplaydState;
use splay_protocol::seed::SplitMix64;

use super::job::JobSpec;
use super::splayds::Splayd;

/// What is to be placed.
#[derive(Debug)]
pub struct Request<'a> {
    /// The job.
    pub spec: &'a JobSpec,
    /// Seats that there must be.
    pub least: u32,
    /// Seats that there should be.
    pub wanted: u32,
    /// Seats of this job on splayds already.
    pub held: &'a BTreeMap<String, u32>,
    /// Splayds not to be asked.
    pub excluded: &'a BTreeSet<String>,
    /// Splayds of the job whose nodes are wanted again, in the order of positions.
    pub same: Option<&'a [String]>,
    /// Whether the mandatory splayds are to be part of what is placed now.
    pub mandatory: bool,
}

/// Why a job cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unplaced {
    /// There are splayds enough, but their seats are taken.
    Full(String),
    /// There are not.
    Never(String),
}

/// The splayds that get a seat each, in placement order. A splayd may be named several times.
pub fn place(splayds: &BTreeMap<String, Splayd>, request: &Request<'_>) -> Result<Vec<String>, Unplaced> {
    let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
    let mut fitting: Vec<&Splayd> = Vec::new();
    let known: Vec<&Splayd> =
        splayds.values().filter(|splayd| splayd.state != SplaydState::Revoked).collect();
    for splayd in &known {
        match unfit(splayd, request) {
            None => fitting.push(splayd),
            Some(why) => *reasons.entry(why).or_default() += 1,
        }
    }
    for word in &request.spec.submission.mandatory {
        if !known.iter().any(|splayd| splayd.is_called(word)) {
            return Err(Unplaced::Never(format!("there is no splayd `{word}`, which must take part")));
        }
        if request.mandatory && !fitting.iter().any(|splayd| splayd.is_called(word)) {
            let splayd = known.iter().find(|splayd| splayd.is_called(word));
            let why = splayd.and_then(|splayd| unfit(splayd, request)).unwrap_or_default();
            return Err(Unplaced::Never(format!(
                "splayd `{word}` must take part and does not match: {}",
                one(&why)
            )));
        }
    }
    let most = |splayd: &Splayd, seats: u32| match request.spec.submission.per_splayd {
        0 => seats,
        most => seats.min(most.saturating_sub(request.held.get(&splayd.record.id).copied().unwrap_or(0))),
    };
    let room = |seats: fn(&Splayd) -> u32| -> u64 {
        fitting.iter().map(|splayd| u64::from(most(splayd, seats(splayd)))).sum()
    };
    let least = u64::from(request.least);
    let ever = room(|splayd| splayd.record.info.max_instances);
    if ever < least {
        return Err(Unplaced::Never(too_few(&known, &fitting, least, ever, &reasons)));
    }
    let free = room(Splayd::free);
    if free < least {
        let of = format!("{} of {} splayds match", fitting.len(), known.len());
        return Err(Unplaced::Full(format!(
            "{of}; {free} of their {ever} seats are free and {least} are needed"
        )));
    }
    let seats = u64::from(request.wanted).clamp(least, free) as usize;
    assign(&fitting, request, seats, |splayd| most(splayd, splayd.free()))
}

fn assign(
    fitting: &[&Splayd],
    request: &Request<'_>,
    seats: usize,
    free: impl Fn(&Splayd) -> u32,
) -> Result<Vec<String>, Unplaced> {
    let mut left: HashMap<&str, u32> =
        fitting.iter().map(|splayd| (splayd.record.id.as_str(), free(splayd))).collect();
    let mut chosen: Vec<String> = Vec::with_capacity(seats);
    let mut take = |id: &str, chosen: &mut Vec<String>| {
        let Some(seats) = left.get_mut(id).filter(|seats| **seats > 0) else { return false };
        *seats -= 1;
        chosen.push(id.to_owned());
        true
    };
    if request.mandatory {
        for word in &request.spec.submission.mandatory {
            let splayd = fitting.iter().find(|splayd| splayd.is_called(word));
            let Some(id) = splayd.map(|splayd| splayd.record.id.as_str()) else { continue };
            if !chosen.iter().any(|taken| taken == id) && !take(id, &mut chosen) {
                return Err(Unplaced::Full(format!("splayd `{word}` must take part and has no free seat")));
            }
        }
    }
    for id in request.same.unwrap_or(&[]) {
        if chosen.len() < seats && !(request.mandatory && chosen.contains(id) && count(request, id) < 2) {
            take(id, &mut chosen);
        }
    }
    let mut numbers = SplitMix64::stream(request.spec.seed, STREAM);
    let mut heap: BinaryHeap<Reverse<(u64, u64, &str, u32)>> = BinaryHeap::new();
    let mut given: HashMap<&str, u32> = HashMap::new();
    chosen.iter().for_each(|id| {
        let id =
            fitting.iter().find(|splayd| splayd.record.id == *id).map(|splayd| splayd.record.id.as_str());
        id.into_iter().for_each(|id| *given.entry(id).or_default() += 1);
    });
    for splayd in fitting {
        let id = splayd.record.id.as_str();
        let used = splayd.used + given.get(id).copied().unwrap_or(0);
        heap.push(Reverse((occupancy(used, splayd), numbers.next_u64(), id, used)));
    }
    let by_id: HashMap<&str, &Splayd> =
        fitting.iter().map(|splayd| (splayd.record.id.as_str(), *splayd)).collect();
    while chosen.len() < seats {
        let Some(Reverse((_, tie, id, used))) = heap.pop() else { break };
        if take(id, &mut chosen) {
            heap.push(Reverse((occupancy(used + 1, by_id[id]), tie, id, used + 1)));
        }
    }
    Ok(chosen)
}

/// Which of the job's streams of random numbers placement draws from.
const STREAM: u64 = 0x0070_6c61_6365;

fn count(request: &Request<'_>, id: &str) -> usize {
    request.same.unwrap_or(&[]).iter().filter(|same| *same == id).count()
}

/// Share of the seats in use, in units of 2^-32.
fn occupancy(used: u32, splayd: &Splayd) -> u64 {
    (u64::from(used) << 32) / u64::from(splayd.record.info.max_instances.max(1))
}

/// Why a splayd cannot host the job, whatever else runs on it, in words that follow a number.
fn unfit(splayd: &Splayd, request: &Request<'_>) -> Option<String> {
    let submission = &request.spec.submission;
    if splayd.state != SplaydState::Online {
        return Some("are offline".to_owned());
    }
    if request.excluded.contains(&splayd.record.id) {
        return Some("have failed to deploy it".to_owned());
    }
    if !submission.designated.is_empty() && !submission.designated.iter().any(|word| splayd.is_called(word)) {
        return Some("are not among those designated".to_owned());
    }
    if request.same.is_some_and(|same| !same.contains(&splayd.record.id)) {
        return Some("have not hosted the earlier job".to_owned());
    }
    if let Err(exceeds) = submission.limits.check(&splayd.record.info.maxima) {
        return Some(format!(
            "allow at most {} of {}, {} asked for",
            exceeds.allowed, exceeds.limit, exceeds.asked
        ));
    }
    let info = &splayd.record.info;
    let mut names: BTreeMap<&str, bool> = BTreeMap::new();
    for build in &request.spec.native {
        let fits = build.os == info.os
            && build.architecture == info.architecture
            && info.native.contains(&build.sha256);
        *names.entry(&build.name).or_default() |= fits;
    }
    if let Some((name, _)) = names.iter().find(|(_, fits)| !**fits) {
        return Some(format!("allow no build of the native library {name}"));
    }
    splayd.fails(&submission.filters)
}

/// A reason that was written for many, for one.
fn one(why: &str) -> String {
    let rest = |word: &str, single: &str| why.strip_prefix(word).map(|rest| format!("{single}{rest}"));
    let found =
        rest("have ", "it has ").or_else(|| rest("are ", "it is ")).or_else(|| rest("lack ", "it lacks "));
    found.or_else(|| rest("allow ", "it allows ")).unwrap_or_else(|| why.to_owned())
}

fn too_few(
    known: &[&Splayd],
    fitting: &[&Splayd],
    least: u64,
    ever: u64,
    reasons: &BTreeMap<String, u32>,
) -> String {
    if known.is_empty() {
        return "there are no splayds".to_owned();
    }
    let mut text = format!("{} of {} splayds match", fitting.len(), known.len());
    match ever == fitting.len() as u64 {
        true => text.push_str(&format!("; {} more needed", least - ever)),
        false => text.push_str(&format!(" with {ever} seats; {} more seats needed", least - ever)),
    }
    let mut reasons: Vec<(&String, &u32)> = reasons.iter().collect();
    reasons.sort_by_key(|(_, count)| Reverse(**count));
    let list: Vec<String> = reasons.iter().take(4).map(|(why, count)| format!("{count} {why}")).collect();
    if !list.is_empty() {
        text.push_str(": ");
        text.push_str(&list.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use splay_protocol::Submission;
    use splay_protocol::session::Status;

    use super::super::tests::{record, spec};
    use super::*;

    fn splayds(count: usize, seats: u32) -> BTreeMap<String, Splayd> {
        let one = |number: usize| {
            let mut splayd = Splayd::new(record(&format!("s{number:03}"), seats), 0);
            splayd.state = SplaydState::Online;
            splayd.status = Some((0, Status { free_memory_bytes: 512 << 20, ..Status::default() }));
            (splayd.record.id.clone(), splayd)
        };
        (0..count).map(one).collect()
    }

    fn placed(
        splayds: &BTreeMap<String, Splayd>,
        submission: Submission,
        seed: u64,
    ) -> Result<Vec<String>, Unplaced> {
        let (least, factor) = (submission.instances, submission.factor);
        let spec = JobSpec { seed, ..spec("j", submission) };
        let wanted = (f64::from(least) * factor).ceil() as u32;
        let (held, excluded) = (BTreeMap::new(), BTreeSet::new());
        place(
            splayds,
            &Request {
                spec: &spec,
                least,
                wanted,
                held: &held,
                excluded: &excluded,
                same: None,
                mandatory: true,
            },
        )
    }

    fn ask(instances: u32) -> Submission {
        Submission { instances, factor: 1.0, ..Submission::default() }
    }

    #[test]
    fn seats_are_spread_by_occupancy_and_seed() {
        let mut all = splayds(4, 10);
        all.get_mut("s000").unwrap().used = 5;
        let chosen = placed(&all, ask(6), 1).unwrap();
        let of = |id: &str| chosen.iter().filter(|one| *one == id).count();
        assert_eq!((of("s000"), of("s001"), of("s002"), of("s003")), (0, 2, 2, 2));
        assert_eq!(placed(&all, ask(6), 1).unwrap(), chosen);
        assert!((2..9).any(|seed| placed(&all, ask(6), seed).unwrap() != chosen));
        // Large splayds get more.
        all.get_mut("s001").unwrap().record.info.max_instances = 100;
        assert!(placed(&all, ask(40), 1).unwrap().iter().filter(|id| *id == "s001").count() > 30);
    }

    #[test]
    fn factor_takes_no_more_than_there_is() {
        let all = splayds(3, 1);
        assert_eq!(placed(&all, Submission { factor: 10.0, ..ask(2) }, 1).unwrap().len(), 3);
        assert_eq!(placed(&all, Submission { factor: 1.25, ..ask(2) }, 1).unwrap().len(), 3);
        assert_eq!(placed(&all, ask(2), 1).unwrap().len(), 2);
    }

    #[test]
    fn refusals_have_figures() {
        let mut all = splayds(40, 1);
        for number in 0..28 {
            let status = Status { free_memory_bytes: 100 << 20, ..Status::default() };
            all.get_mut(&format!("s{number:03}")).unwrap().status = Some((0, status));
        }
        let mut submission = ask(15);
        submission.filters.min_free_memory_bytes = Some(256 << 20);
        let why = "12 of 40 splayds match; 3 more needed: 28 have under 256 MB free";
        assert_eq!(placed(&all, submission.clone(), 1), Err(Unplaced::Never(why.to_owned())));
        submission.instances = 12;
        all.values_mut().for_each(|splayd| splayd.used = u32::from(splayd.record.id == "s030"));
        let why = "12 of 40 splayds match; 11 of their 12 seats are free and 12 are needed";
        assert_eq!(placed(&all, submission, 1), Err(Unplaced::Full(why.to_owned())));
        let none = BTreeMap::new();
        assert_eq!(placed(&none, ask(1), 1), Err(Unplaced::Never("there are no splayds".to_owned())));
    }

    #[test]
    fn mandatory_splayds_come_first_and_count() {
        let mut all = splayds(5, 3);
        all.get_mut("s004").unwrap().used = 2;
        let submission = Submission { mandatory: vec!["name-s004".into(), "s001".into()], ..ask(3) };
        let chosen = placed(&all, submission.clone(), 1).unwrap();
        assert_eq!((chosen.len(), &chosen[..2]), (3, &["s004".to_owned(), "s001".to_owned()][..]));
        all.get_mut("s004").unwrap().state = SplaydState::Offline;
        let why = "splayd `name-s004` must take part and does not match: it is offline";
        assert_eq!(placed(&all, submission, 1), Err(Unplaced::Never(why.to_owned())));
    }

    #[test]
    fn at_most_so_many_on_one_splayd_and_only_on_those_named() {
        let all = splayds(4, 10);
        let submission =
            Submission { per_splayd: 2, designated: vec!["s001".into(), "s002".into()], ..ask(4) };
        let mut chosen = placed(&all, submission.clone(), 1).unwrap();
        chosen.sort();
        assert_eq!(chosen, ["s001", "s001", "s002", "s002"]);
        let why = "2 of 4 splayds match with 4 seats; 1 more seats needed: 2 are not among those designated";
        assert_eq!(
            placed(&all, Submission { instances: 5, ..submission }, 1),
            Err(Unplaced::Never(why.to_owned()))
        );
    }
}
