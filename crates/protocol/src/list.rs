//! Which nodes each instance of a job is told about. Pure: the one home of this decision, used
//! by every engine and by the controller.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::seed::SplitMix64;
use crate::{Job, ListType, Node};

/// Why a job's lists cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A job has at least one instance.
    #[error("a job needs at least 1 instance")]
    Empty,
    /// The last port would be beyond 65535.
    #[error("{total} instances from port {first_port} need ports up to {last}, and the last port is 65535")]
    Ports {
        /// How many instances.
        total: u32,
        /// Port of the first.
        first_port: u16,
        /// Port the last one would have.
        last: u64,
    },
}

/// The nodes of a job on this machine: 127.0.0.1, one port each, from `first_port` on.
pub fn loopback_nodes(total: u32, first_port: u16) -> Result<Vec<Node>, ListError> {
    let last = u64::from(first_port) + u64::from(total).saturating_sub(1);
    if total == 0 {
        return Err(ListError::Empty);
    }
    if last > u64::from(u16::MAX) {
        return Err(ListError::Ports { total, first_port, last });
    }
    let node = |port| Node { ip: "127.0.0.1".to_owned(), port };
    Ok((first_port..=last as u16).map(node).collect())
}

/// The lists of all instances of one job. An instance's list depends on the job's nodes, type,
/// size, seed and its own position alone, so it can be made when it is needed, anywhere.
#[derive(Debug, Clone)]
pub struct Lists {
    reference: String,
    nodes: Arc<[Node]>,
    head: Arc<[Node]>,
    list_type: ListType,
    list_size: u32,
    seed: u64,
    name: Arc<str>,
    environment: Arc<BTreeMap<String, String>>,
}

impl Lists {
    /// Lists for a job with these `nodes`, in the order of their positions. `list_size` is the
    /// most nodes an instance is told of; `None` means all (a random list: all others).
    pub fn new(
        reference: impl Into<String>,
        nodes: Vec<Node>,
        list_type: ListType,
        list_size: Option<u32>,
        seed: u64,
    ) -> Result<Lists, ListError> {
        if nodes.is_empty() {
            return Err(ListError::Empty);
        }
        let nodes: Arc<[Node]> = nodes.into();
        let list_size = list_size.unwrap_or(u32::MAX);
        let head = match nodes.get(..list_size as usize) {
            Some(first) => first.into(),
            None => nodes.clone(),
        };
        Ok(Lists {
            reference: reference.into(),
            nodes,
            head,
            list_type,
            list_size,
            seed,
            name: "".into(),
            environment: Arc::default(),
        })
    }

    /// Adds the job's name and what its user set, which every instance is told as well.
    pub fn with_name(mut self, name: &str, environment: BTreeMap<String, String>) -> Lists {
        self.name = name.into();
        self.environment = Arc::new(environment);
        self
    }

    /// How many instances the job has.
    pub fn total(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// What the instance at `position` (1 to [`Lists::total`]) is told.
    pub fn job(&self, position: u32) -> Job {
        let me = self.nodes[position as usize - 1].clone();
        let nodes = match self.list_type {
            ListType::Head => self.head.clone(),
            ListType::Random => self.random(position - 1),
        };
        Job {
            reference: self.reference.clone(),
            me,
            position,
            total: self.total(),
            list_type: self.list_type,
            nodes,
            name: self.name.clone(),
            environment: self.environment.clone(),
        }
    }

    /// What every instance is told, in the order of their positions.
    pub fn jobs(&self) -> impl ExactSizeIterator<Item = Job> + '_ {
        (0..self.nodes.len()).map(|index| self.job(index as u32 + 1))
    }

    /// The lists while only some nodes are there: their positions, in the order in which a head
    /// list names them. `instant` makes random lists of different times differ; those of instant
    /// 0, with all nodes there, are those of [`Lists::job`].
    pub fn among(&self, up: Vec<u32>, instant: u64) -> Among<'_> {
        let head = match self.list_type {
            ListType::Head => {
                let told = up.iter().take(self.list_size as usize);
                told.map(|&position| self.nodes[position as usize - 1].clone()).collect()
            }
            ListType::Random => Arc::from([]),
        };
        Among { lists: self, up, head, instant }
    }

    /// Random others, in random order.
    fn random(&self, own: u32) -> Arc<[Node]> {
        let others = self.total() - 1;
        let chosen = self.draw(self.seed, own, others);
        // The draw is among the others: those after the instance itself move up by one.
        let place = |index: u32| if index >= own { index + 1 } else { index };
        chosen.into_iter().map(|index| self.nodes[place(index) as usize].clone()).collect()
    }

    fn draw(&self, seed: u64, own: u32, others: u32) -> Vec<u32> {
        let amount = self.list_size.min(others);
        let mut numbers = SplitMix64::stream(seed, u64::from(own));
        if amount < others / 8 {
            draw_sparse(&mut numbers, others, amount)
        } else {
            draw_dense(&mut numbers, others, amount)
        }
    }
}

/// The lists of a job at a time when some of its nodes are there: see [`Lists::among`].
#[derive(Debug, Clone)]
pub struct Among<'a> {
    lists: &'a Lists,
    up: Vec<u32>,
    head: Arc<[Node]>,
    instant: u64,
}

impl Among<'_> {
    /// The nodes that the instance at `position` is told of.
    pub fn nodes(&self, position: u32) -> Arc<[Node]> {
        if self.lists.list_type == ListType::Head {
            return self.head.clone();
        }
        let own = self.up.iter().position(|&up| up == position);
        let others = self.up.len() as u32 - u32::from(own.is_some());
        // An odd factor: every instant has a seed of its own.
        let seed = self.lists.seed.wrapping_add(self.instant.wrapping_mul(0xd134_2543_de82_ef95));
        let place = |index: u32| index as usize + usize::from(own.is_some_and(|own| index as usize >= own));
        let chosen = self.lists.draw(seed, position - 1, others);
        chosen.into_iter().map(|index| self.lists.nodes[self.up[place(index)] as usize - 1].clone()).collect()
    }

    /// What the instance at `position` is told when it starts now.
    pub fn job(&self, position: u32) -> Job {
        Job { nodes: self.nodes(position), ..self.lists.job(position) }
    }
}

/// `amount` different numbers of `0..bound` in random order: the beginning of a shuffle.
fn draw_dense(numbers: &mut SplitMix64, bound: u32, amount: u32) -> Vec<u32> {
    let mut all: Vec<u32> = (0..bound).collect();
    for index in 0..amount {
        let other = index + numbers.below(bound - index);
        all.swap(index as usize, other as usize);
    }
    all.truncate(amount as usize);
    all
}

/// The same draw as [`draw_dense`], remembering only the places that changed: ten of 100,000
/// nodes cost ten steps.
fn draw_sparse(numbers: &mut SplitMix64, bound: u32, amount: u32) -> Vec<u32> {
    let mut moved: HashMap<u32, u32> = HashMap::with_capacity(amount as usize);
    let mut drawn = Vec::with_capacity(amount as usize);
    for index in 0..amount {
        let other = index + numbers.below(bound - index);
        let here = moved.get(&index).copied().unwrap_or(index);
        drawn.push(moved.insert(other, here).unwrap_or(other));
    }
    drawn
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lists(total: u32, list_type: ListType, size: Option<u32>, seed: u64) -> Lists {
        let nodes = loopback_nodes(total, 20000).expect("ports fit");
        Lists::new("test", nodes, list_type, size, seed).expect("not empty")
    }

    fn ports(job: &Job) -> Vec<u16> {
        job.nodes.iter().map(|node| node.port).collect()
    }

    #[test]
    fn head_is_the_first_nodes_for_everyone() {
        for job in lists(5, ListType::Head, Some(3), 1).jobs() {
            assert_eq!(ports(&job), [20000, 20001, 20002]);
            assert_eq!(job.me, Node { ip: "127.0.0.1".into(), port: 19999 + job.position as u16 });
            assert_eq!((job.total, job.list_type), (5, ListType::Head));
        }
    }

    #[test]
    fn whole_head_list_is_shared() {
        let lists = lists(1000, ListType::Head, None, 1);
        assert!(Arc::ptr_eq(&lists.job(1).nodes, &lists.job(1000).nodes));
        assert_eq!(lists.job(1).nodes.len(), 1000);
    }

    #[test]
    fn random_lists_are_golden() {
        let of = |position| ports(&lists(10, ListType::Random, Some(4), 42).job(position));
        assert_eq!(of(1), GOLDEN[0]);
        assert_eq!(of(10), GOLDEN[1]);
    }

    const GOLDEN: [[u16; 4]; 2] = [[20008, 20002, 20001, 20006], [20007, 20003, 20004, 20008]];

    #[test]
    fn random_lists_name_everyone_equally_often() {
        let mut named = [0u32; 50];
        for seed in 0..200 {
            for job in lists(50, ListType::Random, Some(5), seed).jobs() {
                ports(&job).iter().for_each(|port| named[usize::from(port - 20000)] += 1);
            }
        }
        // 200 * 50 * 5 / 50 = 1000 expected, with a deviation of about 30.
        assert!(named.iter().all(|count| (850..1150).contains(count)), "{named:?}");
    }

    #[test]
    fn alone_with_a_random_list_knows_nobody() {
        assert!(lists(1, ListType::Random, None, 3).job(1).nodes.is_empty());
    }

    #[test]
    fn impossible_jobs_are_refused() {
        assert_eq!(loopback_nodes(0, 20000), Err(ListError::Empty));
        assert!(matches!(Lists::new("x", vec![], ListType::Head, None, 0), Err(ListError::Empty)));
        assert_eq!(
            loopback_nodes(2, 65535).unwrap_err().to_string(),
            "2 instances from port 65535 need ports up to 65536, and the last port is 65535"
        );
        assert_eq!(loopback_nodes(1, 65535).expect("fits")[0].port, 65535);
    }

    #[test]
    fn written_form_is_stable() {
        let json = serde_json::to_string(&lists(2, ListType::Head, Some(1), 0).job(2)).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"ref":"test","me":{"ip":"127.0.0.1","port":20001},"position":2,"total":2,"#,
                r#""list_type":"head","nodes":[{"ip":"127.0.0.1","port":20000}]}"#
            )
        );
    }

    #[test]
    fn lists_among_some_nodes_name_these_alone() {
        let head = lists(10, ListType::Head, Some(3), 1);
        let job = head.among(vec![7, 2, 9, 4], 5).job(4);
        assert_eq!(ports(&job), [20006, 20001, 20008]);
        assert_eq!((job.position, job.total, job.me.port), (4, 10, 20003));
        let random = lists(10, ListType::Random, None, 1);
        let mut seen = ports(&random.among(vec![7, 2, 9, 4], 5).job(4));
        seen.sort_unstable();
        assert_eq!(seen, [20001, 20006, 20008]);
        assert!(random.among(vec![4], 0).job(4).nodes.is_empty());
    }

    #[test]
    fn random_lists_differ_from_instant_to_instant() {
        let random = lists(100, ListType::Random, Some(5), 1);
        let at = |instant| ports(&random.among((1..=100).collect(), instant).job(7));
        assert_eq!(at(0), ports(&random.job(7)));
        assert!(at(1) != at(0) && at(1) != at(2) && at(1) == at(1));
    }

    proptest! {
        #[test]
        fn random_lists_hold_others_once(
            total in 1u32..300, size in proptest::option::of(0u32..400), seed: u64, at: u32,
        ) {
            let position = at % total + 1;
            let job = lists(total, ListType::Random, size, seed).job(position);
            let mut seen = ports(&job);
            prop_assert_eq!(seen.len() as u32, size.unwrap_or(total).min(total - 1));
            prop_assert!(!seen.contains(&job.me.port));
            prop_assert!(seen.iter().all(|&port| (20000..20000 + total as u16).contains(&port)));
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), job.nodes.len());
            prop_assert_eq!(&job, &lists(total, ListType::Random, size, seed).job(position));
        }

        #[test]
        fn head_lists_are_a_prefix(total in 1u32..300, size in proptest::option::of(0u32..400)) {
            let lists = lists(total, ListType::Head, size, 0);
            let expected = size.unwrap_or(total).min(total);
            for job in lists.jobs() {
                prop_assert_eq!(ports(&job), (20000..20000 + expected as u16).collect::<Vec<_>>());
            }
        }

        #[test]
        fn both_draws_agree(bound in 1u32..500, part in 0.0f64..=1.0, seed: u64) {
            let amount = (f64::from(bound) * part) as u32;
            prop_assert_eq!(
                draw_sparse(&mut SplitMix64::new(seed), bound, amount),
                draw_dense(&mut SplitMix64::new(seed), bound, amount)
            );
        }
    }
}
