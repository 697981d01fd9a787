//! From source text to a [`Chunk`]: parsing is `full_moon`'s, which name means which variable is
//! decided here.

use std::rc::Rc;

use full_moon::LuaVersion;
use full_moon::ast::{self, Expression, LastStmt, Stmt};
use full_moon::node::Node;
use full_moon::tokenizer::{Symbol, TokenReference, TokenType};

use super::tree::{
    Block, Call, Chunk, Expr, ExprKind, Function, Item, Local, LocalInfo, Op, Place, Stat, StatKind,
};

/// Reads a source that the runtime accepts. `None`: it uses something that only LuaJIT knows.
pub fn read(source: &str) -> Option<Chunk> {
    let ast = full_moon::parse_fallible(source, LuaVersion::lua52().with_luajit()).into_result().ok()?;
    let mut lowering = Lowering { locals: Vec::new(), scopes: vec![Vec::new()], function: 0, functions: 1 };
    let body = lowering.block(ast.nodes());
    Some(Chunk { body, locals: lowering.locals })
}

struct Lowering {
    locals: Vec<LocalInfo>,
    /// Variables in sight, by block.
    scopes: Vec<Vec<Local>>,
    function: usize,
    functions: usize,
}

fn place(node: &impl Node) -> Place {
    let position = node.start_position().unwrap_or_default();
    Place { line: position.line().max(1), column: position.character().max(1) }
}

fn word(token: &TokenReference) -> String {
    token.token().to_string()
}

impl Lowering {
    fn declare(&mut self, name: String) -> Local {
        let local = self.locals.len();
        self.locals.push(LocalInfo { name, function: self.function, reassigned: false, captured: false });
        self.scopes.last_mut().expect("there is always a block").push(local);
        local
    }

    fn name(&mut self, token: &TokenReference) -> Expr {
        let name = word(token);
        let mut in_sight = self.scopes.iter().rev().flat_map(|scope| scope.iter().rev());
        let kind = match in_sight.find(|&&local| self.locals[local].name == name) {
            Some(&local) => {
                self.locals[local].captured |= self.locals[local].function != self.function;
                ExprKind::Local(local)
            }
            None => ExprKind::Global(name),
        };
        Expr { at: place(token), kind }
    }

    fn scoped<T>(&mut self, inside: impl FnOnce(&mut Self) -> T) -> T {
        self.scopes.push(Vec::new());
        let result = inside(self);
        self.scopes.pop();
        result
    }

    fn inner(&mut self, block: &ast::Block) -> Block {
        self.scoped(|lowering| lowering.block(block))
    }

    fn block(&mut self, block: &ast::Block) -> Block {
        let mut stats: Block = block.stmts().filter_map(|stat| self.stat(stat)).collect();
        match block.last_stmt() {
            Some(LastStmt::Return(values)) => {
                let kind = StatKind::Return(self.exprs(values.returns().iter()));
                stats.push(Stat { at: place(values), kind });
            }
            Some(other) => stats.push(Stat { at: place(other), kind: StatKind::Break }),
            None => {}
        }
        stats
    }

    fn exprs<'a>(&mut self, exprs: impl Iterator<Item = &'a Expression>) -> Vec<Expr> {
        exprs.map(|expr| self.expr(expr)).collect()
    }

    fn stat(&mut self, stat: &Stmt) -> Option<Stat> {
        let at = place(stat);
        let kind = match stat {
            Stmt::Assignment(assignment) => {
                let targets: Vec<Expr> = assignment.variables().iter().map(|var| self.var(var)).collect();
                let values = self.exprs(assignment.expressions().iter());
                for target in &targets {
                    if let ExprKind::Local(local) = target.kind {
                        self.locals[local].reassigned = true;
                    }
                }
                StatKind::Assign(targets, values)
            }
            Stmt::Do(inner) => StatKind::Do(self.inner(inner.block())),
            Stmt::FunctionCall(call) => StatKind::Call(self.suffixed(call.prefix(), call.suffixes())),
            Stmt::FunctionDeclaration(declaration) => {
                let name = declaration.name();
                let mut parts = name.names().iter();
                let mut target = self.name(parts.next()?);
                for part in parts.chain(name.method_name()) {
                    target = field(target, part);
                }
                if let ExprKind::Local(local) = target.kind {
                    self.locals[local].reassigned = true;
                }
                let function = self.function(declaration.body(), name.method_name().is_some());
                let value = Expr { at, kind: ExprKind::Function(Box::new(function)) };
                StatKind::Assign(vec![target], vec![value])
            }
            Stmt::GenericFor(statement) => {
                let values = self.exprs(statement.expressions().iter());
                self.scoped(|lowering| {
                    let names = statement.names().iter();
                    let names = names.map(|name| lowering.declare(word(name))).collect();
                    StatKind::ForIn(names, values, lowering.block(statement.block()))
                })
            }
            Stmt::NumericFor(statement) => {
                let values = [statement.start(), statement.end()].into_iter().chain(statement.step());
                let values = self.exprs(values);
                self.scoped(|lowering| {
                    let name = lowering.declare(word(statement.index_variable()));
                    StatKind::For(name, values, lowering.block(statement.block()))
                })
            }
            Stmt::If(statement) => {
                let mut branches = vec![(self.expr(statement.condition()), self.inner(statement.block()))];
                for branch in statement.else_if().into_iter().flatten() {
                    branches.push((self.expr(branch.condition()), self.inner(branch.block())));
                }
                let otherwise = statement.else_block().map(|block| self.inner(block));
                StatKind::If(branches, otherwise)
            }
            Stmt::LocalAssignment(assignment) => {
                let values = self.exprs(assignment.expressions().iter());
                let names = assignment.names().iter();
                let names = names.map(|name| self.declare(word(name))).collect();
                StatKind::Local(names, values)
            }
            Stmt::LocalFunction(statement) => {
                let local = self.declare(word(statement.name()));
                StatKind::LocalFunction(local, self.function(statement.body(), false))
            }
            Stmt::Repeat(statement) => self.scoped(|lowering| {
                // The condition sees the block's variables.
                let block = lowering.block(statement.block());
                let condition = lowering.expr(statement.until());
                StatKind::Repeat(block, condition)
            }),
            Stmt::While(statement) => {
                let condition = self.expr(statement.condition());
                StatKind::While(condition, self.inner(statement.block()))
            }
            Stmt::Goto(_) => StatKind::Goto,
            Stmt::Label(_) => StatKind::Label,
            _ => return None,
        };
        Some(Stat { at, kind })
    }

    fn function(&mut self, body: &ast::FunctionBody, method: bool) -> Function {
        let outer = self.function;
        let number = self.functions;
        self.function = number;
        self.functions += 1;
        let body = self.scoped(|lowering| {
            if method {
                lowering.declare("self".to_owned());
            }
            let mut named = false;
            for parameter in body.parameters() {
                match parameter {
                    ast::Parameter::Name(name) => {
                        lowering.declare(word(name));
                    }
                    _ => named = true,
                }
            }
            if named {
                // The implicit table of Lua 5.1, which the runtime gives where it is asked for.
                lowering.declare("arg".to_owned());
            }
            lowering.block(body.block())
        });
        self.function = outer;
        Function { number, body: Rc::new(body) }
    }

    fn var(&mut self, var: &ast::Var) -> Expr {
        match var {
            ast::Var::Name(name) => self.name(name),
            ast::Var::Expression(inner) => self.suffixed(inner.prefix(), inner.suffixes()),
            other => Expr { at: place(other), kind: ExprKind::Dots },
        }
    }

    fn suffixed<'a>(
        &mut self,
        prefix: &ast::Prefix,
        suffixes: impl Iterator<Item = &'a ast::Suffix>,
    ) -> Expr {
        let mut expr = match prefix {
            ast::Prefix::Name(name) => self.name(name),
            ast::Prefix::Expression(inner) => self.expr(inner),
            other => Expr { at: place(other), kind: ExprKind::Dots },
        };
        let begin = expr.at;
        for suffix in suffixes {
            expr = match suffix {
                ast::Suffix::Index(ast::Index::Dot { name, .. }) => field(expr, name),
                ast::Suffix::Index(ast::Index::Brackets { expression, .. }) => {
                    let key = self.expr(expression);
                    Expr { at: key.at, kind: ExprKind::Index(Box::new(expr), Box::new(key)) }
                }
                ast::Suffix::Call(ast::Call::MethodCall(call)) => {
                    let method = Some((word(call.name()), place(call.name())));
                    let arguments = self.arguments(call.args());
                    let call = Call { callee: expr, method, arguments };
                    Expr { at: begin, kind: ExprKind::Call(Box::new(call)) }
                }
                ast::Suffix::Call(ast::Call::AnonymousCall(arguments)) => {
                    let arguments = self.arguments(arguments);
                    let call = Call { callee: expr, method: None, arguments };
                    Expr { at: begin, kind: ExprKind::Call(Box::new(call)) }
                }
                _ => expr,
            };
        }
        expr
    }

    fn arguments(&mut self, arguments: &ast::FunctionArgs) -> Vec<Expr> {
        match arguments {
            ast::FunctionArgs::Parentheses { arguments, .. } => self.exprs(arguments.iter()),
            ast::FunctionArgs::String(token) => vec![string(token)],
            ast::FunctionArgs::TableConstructor(table) => vec![self.table(table)],
            _ => Vec::new(),
        }
    }

    fn table(&mut self, table: &ast::TableConstructor) -> Expr {
        let items = table.fields().iter().filter_map(|item| {
            Some(match item {
                ast::Field::ExpressionKey { key, value, .. } => Item::Keyed(self.expr(key), self.expr(value)),
                ast::Field::NameKey { value, .. } => Item::Named(self.expr(value)),
                ast::Field::NoKey(value) => Item::Positional(self.expr(value)),
                _ => return None,
            })
        });
        let items = items.collect();
        Expr { at: place(table), kind: ExprKind::Table(items) }
    }

    /// Begins where its left side does: asking the parser each time would be quadratic in a long sum.
    fn binary(&mut self, left: &Expression, binop: &ast::BinOp, right: &Expression) -> Expr {
        let left = self.expr(left);
        let at = left.at;
        let right = Box::new(self.expr(right));
        Expr { at, kind: ExprKind::Binary(operator(binop), Box::new(left), right) }
    }

    fn expr(&mut self, expr: &Expression) -> Expr {
        if let Expression::BinaryOperator { lhs, binop, rhs } = expr {
            return self.binary(lhs, binop, rhs);
        }
        let at = place(expr);
        let kind = match expr {
            Expression::Parentheses { expression, .. } => ExprKind::Paren(Box::new(self.expr(expression))),
            Expression::UnaryOperator { unop, expression } => {
                let inner = Box::new(self.expr(expression));
                match unop {
                    ast::UnOp::Hash(_) => ExprKind::Length(inner),
                    ast::UnOp::Not(_) => ExprKind::Not(inner),
                    _ => ExprKind::Unary(inner),
                }
            }
            Expression::Function(function) => {
                ExprKind::Function(Box::new(self.function(function.body(), false)))
            }
            Expression::FunctionCall(call) => return self.suffixed(call.prefix(), call.suffixes()),
            Expression::TableConstructor(table) => return self.table(table),
            Expression::Number(token) => ExprKind::Number(word(token)),
            Expression::String(token) => return string(token),
            Expression::Var(var) => return self.var(var),
            Expression::Symbol(token) => match token.token().token_type() {
                TokenType::Symbol { symbol: Symbol::Nil } => ExprKind::Nil,
                TokenType::Symbol { symbol: Symbol::True } => ExprKind::Bool(true),
                TokenType::Symbol { symbol: Symbol::False } => ExprKind::Bool(false),
                _ => ExprKind::Dots,
            },
            _ => ExprKind::Dots,
        };
        Expr { at, kind }
    }
}

/// Operators as far as checks tell them apart.
fn operator(binop: &ast::BinOp) -> Op {
    match binop {
        ast::BinOp::And(_) | ast::BinOp::Or(_) => Op::Logic,
        ast::BinOp::TwoEqual(_) | ast::BinOp::TildeEqual(_) => Op::Equality,
        _ => Op::Arithmetic,
    }
}

fn field(object: Expr, name: &TokenReference) -> Expr {
    let at = place(name);
    let key = Expr { at, kind: ExprKind::Text(word(name)) };
    Expr { at, kind: ExprKind::Index(Box::new(object), Box::new(key)) }
}

fn string(token: &TokenReference) -> Expr {
    let text = match token.token().token_type() {
        TokenType::StringLiteral { literal, .. } => literal.to_string(),
        _ => word(token),
    };
    Expr { at: place(token), kind: ExprKind::Text(text) }
}
