//! Directories and files by their paths, and which of them end when.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use slab::Slab;

use super::event::View;

const ROOT: usize = 0;

/// What a node is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Kind {
    File(Bytes),
    /// Nodes by name; not saved, since paths tell it.
    Directory(#[serde(skip)] BTreeMap<Bytes, usize>),
}

/// A file or directory. Times are nanoseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    pub path: Bytes,
    pub created: u64,
    pub modified: u64,
    pub until: Option<i64>,
    pub kind: Kind,
}

impl Node {
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }

    /// Of a file.
    pub fn value(&self) -> Option<Bytes> {
        match &self.kind {
            Kind::File(value) => Some(value.clone()),
            Kind::Directory(_) => None,
        }
    }

    fn bytes(&self) -> usize {
        let value = if let Kind::File(value) = &self.kind { value.len() } else { 0 };
        NODE_BYTES + self.path.len() + value
    }
}

/// Why a path leads nowhere: what is not there, or is no directory.
pub enum Missing<'a> {
    Key(&'a [u8]),
    Directory(&'a [u8]),
}

#[derive(Debug)]
pub struct Tree {
    nodes: Slab<Node>,
    ends: BTreeSet<(i64, usize)>,
    bytes: usize,
}

/// Memory of a node besides its path and value, about, in bytes.
const NODE_BYTES: usize = 200;

impl Default for Tree {
    fn default() -> Tree {
        let mut nodes = Slab::new();
        let kind = Kind::Directory(BTreeMap::new());
        nodes.insert(Node { path: Bytes::from_static(b"/"), created: 0, modified: 0, until: None, kind });
        Tree { nodes, ends: BTreeSet::new(), bytes: 0 }
    }
}

/// Where the parts of a path end: `/a/b` has 2 and 4.
fn ends(path: &[u8]) -> impl Iterator<Item = usize> {
    let length = if path == b"/" { None } else { Some(path.len()) };
    memchr::memchr_iter(b'/', path).skip(1).chain(length)
}

/// The name in a path that ends there.
fn name(path: &[u8], end: usize) -> &[u8] {
    let start = memchr::memrchr(b'/', &path[..end]).map_or(0, |slash| slash + 1);
    &path[start..end]
}

impl Tree {
    pub fn node(&self, id: usize) -> &Node {
        &self.nodes[id]
    }

    /// Changes a file's value, unless it is to stay, and its index; of a directory, nothing.
    pub fn write(&mut self, id: usize, value: Option<Bytes>, index: u64) {
        let node = &mut self.nodes[id];
        self.bytes -= node.bytes();
        if let Kind::File(old) = &mut node.kind {
            *old = value.unwrap_or_else(|| std::mem::take(old));
            node.modified = index;
        }
        self.bytes += node.bytes();
    }

    /// Memory of all nodes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn children(&self, id: usize) -> Option<&BTreeMap<Bytes, usize>> {
        match &self.nodes[id].kind {
            Kind::Directory(children) => Some(children),
            Kind::File(_) => None,
        }
    }

    fn children_mut(&mut self, id: usize) -> &mut BTreeMap<Bytes, usize> {
        match &mut self.nodes[id].kind {
            Kind::Directory(children) => children,
            Kind::File(_) => unreachable!("only directories have something in them"),
        }
    }

    pub fn find<'a>(&'a self, path: &'a [u8]) -> Result<usize, Missing<'a>> {
        let mut at = ROOT;
        for end in ends(path) {
            let children = self.children(at).ok_or(Missing::Directory(&self.nodes[at].path))?;
            at = *children.get(name(path, end)).ok_or(Missing::Key(&path[..end]))?;
        }
        Ok(at)
    }

    /// The directory that a path is in, made if it is not there; or the path of a file in its way.
    pub fn directory_for(&mut self, path: &Bytes, index: u64) -> Result<usize, Bytes> {
        let mut at = ROOT;
        let mut ends = ends(path).peekable();
        while let Some(end) = ends.next() {
            if ends.peek().is_none() {
                break;
            }
            at = match self.children(at).and_then(|children| children.get(name(path, end))) {
                Some(&child) if self.nodes[child].is_directory() => child,
                Some(&child) => return Err(self.nodes[child].path.clone()),
                None => {
                    let kind = Kind::Directory(BTreeMap::new());
                    let path = path.slice(..end);
                    self.add(at, Node { path, created: index, modified: index, until: None, kind })
                }
            };
        }
        Ok(at)
    }

    /// What has the path's last name in a directory.
    pub fn child(&self, directory: usize, path: &[u8]) -> Option<usize> {
        self.children(directory)?.get(name(path, path.len())).copied()
    }

    pub fn add(&mut self, directory: usize, node: Node) -> usize {
        let name = node.path.slice_ref(name(&node.path, node.path.len()));
        let until = node.until;
        self.bytes += node.bytes();
        let id = self.nodes.insert(node);
        self.children_mut(directory).insert(name, id);
        self.ends.extend(until.map(|until| (until, id)));
        id
    }

    /// Removes a node with all below it; gives the paths, what is in a directory before it.
    pub fn remove(&mut self, id: usize) -> Vec<Bytes> {
        let path = self.nodes[id].path.clone();
        let parent = match memchr::memrchr(b'/', &path) {
            Some(slash) if slash > 0 => self.find(&path[..slash]).ok(),
            _ => Some(ROOT),
        };
        let parent = parent.expect("a node is in a directory");
        self.children_mut(parent).remove(name(&path, path.len()));
        let mut removed = Vec::new();
        self.drop_below(id, &mut removed);
        removed
    }

    fn drop_below(&mut self, id: usize, removed: &mut Vec<Bytes>) {
        // Not by recursion: a path may have any number of parts.
        let mut left = vec![id];
        let mut order = Vec::new();
        while let Some(id) = left.pop() {
            order.push(id);
            left.extend(self.children(id).into_iter().flat_map(|children| children.values().copied()));
        }
        for id in order.into_iter().rev() {
            let node = self.nodes.remove(id);
            self.bytes -= node.bytes();
            if let Some(until) = node.until {
                self.ends.remove(&(until, id));
            }
            removed.push(node.path);
        }
    }

    pub fn set_until(&mut self, id: usize, until: Option<i64>) {
        if let Some(old) = std::mem::replace(&mut self.nodes[id].until, until) {
            self.ends.remove(&(old, id));
        }
        self.ends.extend(until.map(|until| (until, id)));
    }

    pub fn next_end(&self) -> Option<i64> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// A node whose life has ended.
    pub fn ended(&self, now: i64) -> Option<usize> {
        self.ends.first().filter(|(until, _)| *until <= now).map(|(_, id)| *id)
    }

    /// A node as clients see it; what is in a directory where `inside` is given, and everything
    /// below it where that is true. Names that begin with `_` are not listed.
    pub fn view(&self, id: usize, inside: Option<bool>, now: i64) -> View {
        let node = &self.nodes[id];
        let mut view = View {
            key: node.path.clone(),
            value: node.value(),
            dir: node.is_directory(),
            modified: node.modified,
            created: node.created,
            ..View::default()
        };
        view.set_expiration(node.until, now);
        if let (Some(recursive), Some(children)) = (inside, self.children(id)) {
            let listed = children.iter().filter(|(name, _)| !name.starts_with(b"_"));
            let deeper = recursive.then_some(true);
            view.nodes = listed.map(|(_, &child)| self.view(child, deeper, now)).collect();
        }
        view
    }

    /// Every node but the root, directories before what is in them.
    pub fn save(&self) -> Vec<Node> {
        let mut saved = Vec::with_capacity(self.nodes.len());
        let mut left: Vec<usize> = self.children(ROOT).expect("the root is one").values().copied().collect();
        while let Some(id) = left.pop() {
            left.extend(self.children(id).into_iter().flat_map(|children| children.values().copied()));
            let node = &self.nodes[id];
            let kind = node.value().map_or_else(|| Kind::Directory(BTreeMap::new()), Kind::File);
            saved.push(Node { kind, path: node.path.clone(), ..*node });
        }
        saved
    }

    /// The opposite. `None`: a node has no directory to be in.
    pub fn load(saved: Vec<Node>) -> Option<Tree> {
        let mut tree = Tree::default();
        for node in saved {
            let slash = memchr::memrchr(b'/', &node.path)?;
            let parent = if slash == 0 { ROOT } else { tree.find(&node.path[..slash]).ok()? };
            tree.children(parent)?;
            tree.add(parent, node);
        }
        Some(tree)
    }
}
