//! A Lua source as the checks see it: statements and expressions with their positions, every name
//! resolved to a local variable or a global. Made by [`super::lower`].

/// A place in the source, both counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// Number of a local variable in [`Chunk::locals`].
pub type Local = usize;

/// A local variable.
#[derive(Debug, Clone)]
pub struct LocalInfo {
    /// Its name.
    pub name: String,
    /// The function that declares it.
    pub function: usize,
    /// It is assigned to after its declaration.
    pub reassigned: bool,
    /// Another function uses it too.
    pub captured: bool,
}

/// A whole source.
#[derive(Debug)]
pub struct Chunk {
    /// The main function, number 0.
    pub body: Vec<Stat>,
    /// All local variables.
    pub locals: Vec<LocalInfo>,
}

/// Statements in a row.
pub type Block = Vec<Stat>;

/// A statement.
#[derive(Debug)]
pub struct Stat {
    /// Where it begins.
    pub at: Place,
    /// What it is.
    pub kind: StatKind,
}

/// Kinds of statements.
#[derive(Debug)]
pub enum StatKind {
    /// `local a, b = ...`
    Local(Vec<Local>, Vec<Expr>),
    /// `local function f`
    LocalFunction(Local, Function),
    /// `a, b.c = ...`, and `function a.b()`, which is one.
    Assign(Vec<Expr>, Vec<Expr>),
    /// A call for its effect.
    Call(Expr),
    /// `do ... end`
    Do(Block),
    /// `while`
    While(Expr, Block),
    /// `repeat`
    Repeat(Block, Expr),
    /// Conditions with their blocks, and the `else` block.
    If(Vec<(Expr, Block)>, Option<Block>),
    /// `for i = ...`
    For(Local, Vec<Expr>, Block),
    /// `for a, b in ...`
    ForIn(Vec<Local>, Vec<Expr>, Block),
    /// `return`
    Return(Vec<Expr>),
    /// `break`
    Break,
    /// `goto`
    Goto,
    /// `::label::`
    Label,
}

/// An expression.
#[derive(Debug, Clone)]
pub struct Expr {
    /// Where it begins; of a field, where its name is.
    pub at: Place,
    /// What it is.
    pub kind: ExprKind,
}

/// Kinds of expressions.
#[derive(Debug, Clone)]
pub enum ExprKind {
    /// `nil`
    Nil,
    /// `true` or `false`
    Bool(bool),
    /// A number, as written.
    Number(String),
    /// A string, as written between its quotes.
    Text(String),
    /// `...`
    Dots,
    /// A local variable.
    Local(Local),
    /// A global.
    Global(String),
    /// `a.b`, `a["b"]`, `a[i]`
    Index(Box<Expr>, Box<Expr>),
    /// `f(...)`, `o:m(...)`
    Call(Box<Call>),
    /// `function ... end`
    Function(Box<Function>),
    /// `{...}`
    Table(Vec<Item>),
    /// Two operands.
    Binary(Op, Box<Expr>, Box<Expr>),
    /// `-`, `not`
    Unary(Box<Expr>),
    /// `not`
    Not(Box<Expr>),
    /// `#`
    Length(Box<Expr>),
    /// `(...)`
    Paren(Box<Expr>),
}

/// Operators with two operands, as far as checks tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `and`, `or`: the right side may not be evaluated.
    Logic,
    /// `==`, `~=`
    Equality,
    /// All others.
    Arithmetic,
}

/// A call.
#[derive(Debug, Clone)]
pub struct Call {
    /// What is called, or the object whose method is.
    pub callee: Expr,
    /// The method and where its name is.
    pub method: Option<(String, Place)>,
    /// Arguments.
    pub arguments: Vec<Expr>,
}

/// An item of a table constructor.
#[derive(Debug, Clone)]
pub enum Item {
    /// `value`
    Positional(Expr),
    /// `name = value`
    Named(Expr),
    /// `[key] = value`
    Keyed(Expr, Expr),
}

/// A function.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its number; the main chunk is 0.
    pub number: usize,
    /// Its body. Shared: expressions are copied where `a.b` is taken apart.
    pub body: std::rc::Rc<Block>,
}

impl Expr {
    /// Without parentheses around it.
    pub fn bare(&self) -> &Expr {
        match &self.kind {
            ExprKind::Paren(inner) => inner.bare(),
            _ => self,
        }
    }

    /// The text of a literal string.
    pub fn text(&self) -> Option<&str> {
        match &self.bare().kind {
            ExprKind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The global's name.
    pub fn global(&self) -> Option<&str> {
        match &self.bare().kind {
            ExprKind::Global(name) => Some(name),
            _ => None,
        }
    }

    /// The call, if it is one.
    pub fn call(&self) -> Option<&Call> {
        match &self.bare().kind {
            ExprKind::Call(call) => Some(call),
            _ => None,
        }
    }
}

/// Looks at everything in a source, in the order it is evaluated. What is overridden decides with
/// `walk_*` whether to look inside.
pub trait Visitor {
    /// A statement.
    fn stat(&mut self, stat: &Stat) {
        walk_stat(self, stat);
    }

    /// An expression whose value is used.
    fn expr(&mut self, expr: &Expr) {
        walk_expr(self, expr);
    }

    /// An expression that is assigned to.
    fn target(&mut self, target: &Expr) {
        walk_target(self, target);
    }

    /// A function's body.
    fn function(&mut self, function: &Function) {
        walk_block(self, &function.body);
    }
}

/// Looks at statements in a row.
pub fn walk_block<V: Visitor + ?Sized>(visitor: &mut V, block: &[Stat]) {
    block.iter().for_each(|stat| visitor.stat(stat));
}

/// Looks at the parts of an assignment's target.
pub fn walk_target<V: Visitor + ?Sized>(visitor: &mut V, target: &Expr) {
    if let ExprKind::Index(object, key) = &target.kind {
        visitor.expr(object);
        visitor.expr(key);
    }
}

/// Looks at the parts of a statement.
pub fn walk_stat<V: Visitor + ?Sized>(visitor: &mut V, stat: &Stat) {
    let exprs = |exprs: &[Expr], visitor: &mut V| exprs.iter().for_each(|expr| visitor.expr(expr));
    match &stat.kind {
        StatKind::Local(_, values) | StatKind::Return(values) => exprs(values, visitor),
        StatKind::LocalFunction(_, function) => visitor.function(function),
        StatKind::Assign(targets, values) => {
            targets.iter().for_each(|target| visitor.target(target));
            exprs(values, visitor);
        }
        StatKind::Call(call) => visitor.expr(call),
        StatKind::Do(block) => walk_block(visitor, block),
        StatKind::While(condition, block) => {
            visitor.expr(condition);
            walk_block(visitor, block);
        }
        StatKind::Repeat(block, condition) => {
            walk_block(visitor, block);
            visitor.expr(condition);
        }
        StatKind::If(branches, otherwise) => {
            for (condition, block) in branches {
                visitor.expr(condition);
                walk_block(visitor, block);
            }
            if let Some(block) = otherwise {
                walk_block(visitor, block);
            }
        }
        StatKind::For(_, values, block) | StatKind::ForIn(_, values, block) => {
            exprs(values, visitor);
            walk_block(visitor, block);
        }
        StatKind::Break | StatKind::Goto | StatKind::Label => {}
    }
}

/// Looks at the parts of an expression.
pub fn walk_expr<V: Visitor + ?Sized>(visitor: &mut V, expr: &Expr) {
    match &expr.kind {
        ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) => {
            visitor.expr(a);
            visitor.expr(b);
        }
        ExprKind::Call(call) => {
            visitor.expr(&call.callee);
            call.arguments.iter().for_each(|argument| visitor.expr(argument));
        }
        ExprKind::Function(function) => visitor.function(function),
        ExprKind::Table(items) => {
            for item in items {
                match item {
                    Item::Positional(value) | Item::Named(value) => visitor.expr(value),
                    Item::Keyed(key, value) => {
                        visitor.expr(key);
                        visitor.expr(value);
                    }
                }
            }
        }
        ExprKind::Unary(inner) | ExprKind::Not(inner) | ExprKind::Length(inner) | ExprKind::Paren(inner) => {
            visitor.expr(inner)
        }
        ExprKind::Nil
        | ExprKind::Bool(_)
        | ExprKind::Number(_)
        | ExprKind::Text(_)
        | ExprKind::Dots
        | ExprKind::Local(_)
        | ExprKind::Global(_) => {}
    }
}
