//! Follows the scope of the name `arg` through a Lua 5.1 program: a recursive-descent parser
//! that builds nothing.

use super::Edit;
use super::lexer::{Kind, Lexer, Token};

/// Deepest nesting followed; LuaJIT refuses more than 200 levels itself.
const MAX_LEVELS: usize = 220;

const TABLE: &str = " local arg={n=select('#',...),...};";

/// The same, and what must stand before the program, where `select` may be something else.
const OWN_TABLE: &str = " local arg={n=__select('#',...),...};";
const OWN_SELECT: &str = "local __select=select;";

/// Edits that give functions their implicit `arg`; none if the source cannot be parsed.
pub fn implicit_arg(source: &[u8]) -> Vec<Edit> {
    let mut lexer = Lexer::new(source);
    let token = lexer.next_token();
    let mut parser = Parser {
        source,
        lexer,
        token,
        bindings: Vec::new(),
        functions: Vec::new(),
        current: 0,
        levels: 0,
        declares_select: false,
    };
    parser.functions.push(Function { body: 0, uses_dots: true, uses_arg: false });
    match parser.block() {
        Ok(()) if parser.token.kind == Kind::End => {}
        _ => return Vec::new(),
    }
    let table = if parser.declares_select { OWN_TABLE } else { TABLE };
    let mut edits: Vec<Edit> = (parser.functions.iter())
        .filter(|function| function.uses_arg && !function.uses_dots)
        .map(|function| Edit { at: function.body, removed: 0, inserted: table })
        .collect();
    if parser.declares_select && !edits.is_empty() {
        edits.push(Edit { at: 0, removed: 0, inserted: OWN_SELECT });
    }
    edits
}

/// The source is not Lua, or too deeply nested.
struct Unparsable;

type Parse = Result<(), Unparsable>;

/// What the name `arg` means from some point on.
#[derive(Clone, Copy)]
enum Binding {
    /// A variable declared in the program.
    Declared,
    /// The implicit table of a function.
    Implicit(usize),
}

struct Function {
    /// Just behind the parameter list.
    body: usize,
    uses_dots: bool,
    /// `arg` is named where it means this function's table.
    uses_arg: bool,
}

struct Parser<'a> {
    source: &'a [u8],
    lexer: Lexer<'a>,
    token: Token,
    bindings: Vec<Binding>,
    /// All functions so far; the main chunk is number 0.
    functions: Vec<Function>,
    /// The function whose body is being read.
    current: usize,
    levels: usize,
    /// A variable of that name is declared somewhere.
    declares_select: bool,
}

impl Parser<'_> {
    fn advance(&mut self) {
        self.token = self.lexer.next_token();
    }

    /// The current token's text if it is a word, otherwise nothing.
    fn word(&self) -> &[u8] {
        match self.token.kind {
            Kind::Word => &self.source[self.token.start..self.token.end],
            _ => b"",
        }
    }

    fn is_mark(&self, mark: u8) -> bool {
        self.token.kind == Kind::Mark(mark)
    }

    fn accept_mark(&mut self, mark: u8) -> bool {
        let found = self.is_mark(mark);
        if found {
            self.advance();
        }
        found
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.word() == word.as_bytes();
        if found {
            self.advance();
        }
        found
    }

    fn expect_mark(&mut self, mark: u8) -> Parse {
        if self.accept_mark(mark) { Ok(()) } else { Err(Unparsable) }
    }

    fn expect_word(&mut self, word: &str) -> Parse {
        if self.accept_word(word) { Ok(()) } else { Err(Unparsable) }
    }

    fn is_keyword(&self) -> bool {
        matches!(
            self.word(),
            b"and"
                | b"break"
                | b"do"
                | b"else"
                | b"elseif"
                | b"end"
                | b"false"
                | b"for"
                | b"function"
                | b"if"
                | b"in"
                | b"local"
                | b"nil"
                | b"not"
                | b"or"
                | b"repeat"
                | b"return"
                | b"then"
                | b"true"
                | b"until"
                | b"while"
        )
    }

    /// Reads a name; tells whether it is `arg`.
    fn name(&mut self) -> Result<bool, Unparsable> {
        if self.token.kind != Kind::Word || self.is_keyword() {
            return Err(Unparsable);
        }
        let is_arg = self.word() == b"arg";
        self.advance();
        Ok(is_arg)
    }

    /// Reads a name that is declared; tells whether it is `arg`.
    fn new_name(&mut self) -> Result<bool, Unparsable> {
        self.declares_select |= self.word() == b"select";
        self.name()
    }

    fn declare(&mut self, is_arg: bool) {
        if is_arg {
            self.bindings.push(Binding::Declared);
        }
    }

    /// Reads a name that is used, not declared.
    fn reference(&mut self) -> Parse {
        if self.name()?
            && let Some(&Binding::Implicit(function)) = self.bindings.last()
        {
            self.functions[function].uses_arg = true;
        }
        Ok(())
    }

    fn at_block_end(&self) -> bool {
        self.token.kind == Kind::End || matches!(self.word(), b"end" | b"else" | b"elseif" | b"until")
    }

    fn deeper(&mut self, parse: impl FnOnce(&mut Self) -> Parse) -> Parse {
        if self.levels == MAX_LEVELS {
            return Err(Unparsable);
        }
        self.levels += 1;
        let result = parse(self);
        self.levels -= 1;
        result
    }

    /// A block with a scope of its own, up to the word that ends it.
    fn block(&mut self) -> Parse {
        let outer = self.bindings.len();
        self.statements()?;
        self.bindings.truncate(outer);
        Ok(())
    }

    fn statements(&mut self) -> Parse {
        self.deeper(|parser| {
            while !parser.at_block_end() {
                parser.statement()?;
                parser.accept_mark(b';');
            }
            Ok(())
        })
    }

    fn statement(&mut self) -> Parse {
        match self.word() {
            b"if" => {
                loop {
                    self.advance();
                    self.expression()?;
                    self.expect_word("then")?;
                    self.block()?;
                    if self.word() != b"elseif" {
                        break;
                    }
                }
                if self.accept_word("else") {
                    self.block()?;
                }
                self.expect_word("end")
            }
            b"while" => {
                self.advance();
                self.expression()?;
                self.do_block()
            }
            b"do" => self.do_block(),
            b"for" => self.for_loop(),
            b"repeat" => {
                self.advance();
                let outer = self.bindings.len();
                self.statements()?;
                self.expect_word("until")?;
                self.expression()?;
                self.bindings.truncate(outer);
                Ok(())
            }
            b"function" => {
                self.advance();
                self.reference()?;
                let mut method = false;
                while !method && (self.is_mark(b'.') || self.is_mark(b':')) {
                    method = self.is_mark(b':');
                    self.advance();
                    self.name()?;
                }
                self.function_body()
            }
            b"local" => self.local(),
            b"return" => {
                self.advance();
                if self.at_block_end() || self.is_mark(b';') { Ok(()) } else { self.expressions() }
            }
            b"break" => {
                self.advance();
                Ok(())
            }
            _ if self.token.kind == Kind::Label => {
                self.advance();
                self.name()?;
                if self.token.kind != Kind::Label {
                    return Err(Unparsable);
                }
                self.advance();
                Ok(())
            }
            b"goto" => {
                self.advance();
                if self.token.kind == Kind::Word {
                    return self.name().map(drop);
                }
                // An ordinary name in 5.1.
                self.suffixes()?;
                self.assignment()
            }
            _ => {
                self.suffixed()?;
                self.assignment()
            }
        }
    }

    /// What may follow the first expression of an assignment or call statement.
    fn assignment(&mut self) -> Parse {
        while self.accept_mark(b',') {
            self.suffixed()?;
        }
        if self.accept_mark(b'=') { self.expressions() } else { Ok(()) }
    }

    fn do_block(&mut self) -> Parse {
        self.expect_word("do")?;
        self.block()?;
        self.expect_word("end")
    }

    fn for_loop(&mut self) -> Parse {
        self.advance();
        let mut is_arg = self.new_name()?;
        while self.accept_mark(b',') {
            is_arg |= self.new_name()?;
        }
        if !self.accept_mark(b'=') {
            self.expect_word("in")?;
        }
        self.expressions()?;
        let outer = self.bindings.len();
        self.declare(is_arg);
        self.do_block()?;
        self.bindings.truncate(outer);
        Ok(())
    }

    fn local(&mut self) -> Parse {
        self.advance();
        if self.accept_word("function") {
            let is_arg = self.new_name()?;
            self.declare(is_arg);
            return self.function_body();
        }
        let mut is_arg = self.new_name()?;
        while self.accept_mark(b',') {
            is_arg |= self.new_name()?;
        }
        if self.accept_mark(b'=') {
            self.expressions()?;
        }
        self.declare(is_arg);
        Ok(())
    }

    /// From the parameter list to `end`.
    fn function_body(&mut self) -> Parse {
        let outer = self.bindings.len();
        let mut declares_arg = false;
        let mut vararg = false;
        self.expect_mark(b'(')?;
        while !self.is_mark(b')') {
            if self.token.kind == Kind::Dots {
                vararg = true;
                self.advance();
                break;
            }
            declares_arg |= self.new_name()?;
            if !self.accept_mark(b',') {
                break;
            }
        }
        if !self.is_mark(b')') {
            return Err(Unparsable);
        }
        let number = self.functions.len();
        self.functions.push(Function { body: self.token.end, uses_dots: false, uses_arg: false });
        if declares_arg {
            self.bindings.push(Binding::Declared);
        } else if vararg {
            self.bindings.push(Binding::Implicit(number));
        }
        self.advance();
        let caller = std::mem::replace(&mut self.current, number);
        self.block()?;
        self.current = caller;
        self.bindings.truncate(outer);
        self.expect_word("end")
    }

    fn expressions(&mut self) -> Parse {
        loop {
            self.expression()?;
            if !self.accept_mark(b',') {
                return Ok(());
            }
        }
    }

    fn expression(&mut self) -> Parse {
        self.deeper(|parser| {
            loop {
                // `-` and `#`; any other operator here is LuaJIT's to refuse.
                while parser.token.kind == Kind::Operator || parser.word() == b"not" {
                    parser.advance();
                }
                parser.operand()?;
                if parser.token.kind != Kind::Operator && !matches!(parser.word(), b"and" | b"or") {
                    return Ok(());
                }
                parser.advance();
            }
        })
    }

    fn operand(&mut self) -> Parse {
        match self.token.kind {
            Kind::Number | Kind::String => self.advance(),
            Kind::Dots => {
                let current = self.current;
                self.functions[current].uses_dots = true;
                self.advance();
            }
            Kind::Mark(b'{') => return self.table(),
            Kind::Word => match self.word() {
                b"nil" | b"true" | b"false" => self.advance(),
                b"function" => {
                    self.advance();
                    return self.function_body();
                }
                _ => return self.suffixed(),
            },
            _ => return self.suffixed(),
        }
        Ok(())
    }

    fn table(&mut self) -> Parse {
        self.expect_mark(b'{')?;
        while !self.is_mark(b'}') {
            if self.accept_mark(b'[') {
                self.expression()?;
                self.expect_mark(b']')?;
                self.expect_mark(b'=')?;
            } else if self.is_named_field() {
                self.advance();
                self.advance();
            }
            self.expression()?;
            if !self.accept_mark(b',') && !self.accept_mark(b';') {
                break;
            }
        }
        self.expect_mark(b'}')
    }

    /// Whether `name =` comes next.
    fn is_named_field(&mut self) -> bool {
        if self.token.kind != Kind::Word || self.is_keyword() {
            return false;
        }
        let mut ahead = Lexer::starting_at(self.source, self.token.end);
        ahead.next_token().kind == Kind::Mark(b'=')
    }

    fn suffixed(&mut self) -> Parse {
        if self.accept_mark(b'(') {
            self.expression()?;
            self.expect_mark(b')')?;
        } else {
            self.reference()?;
        }
        self.suffixes()
    }

    fn suffixes(&mut self) -> Parse {
        loop {
            match self.token.kind {
                Kind::Mark(b'.') => {
                    self.advance();
                    self.name()?;
                }
                Kind::Mark(b'[') => {
                    self.advance();
                    self.expression()?;
                    self.expect_mark(b']')?;
                }
                Kind::Mark(b':') => {
                    self.advance();
                    self.name()?;
                    self.arguments()?;
                }
                Kind::Mark(b'(' | b'{') | Kind::String => self.arguments()?,
                _ => return Ok(()),
            }
        }
    }

    fn arguments(&mut self) -> Parse {
        match self.token.kind {
            Kind::String => {
                self.advance();
                Ok(())
            }
            Kind::Mark(b'{') => self.table(),
            _ => {
                self.expect_mark(b'(')?;
                if !self.is_mark(b')') {
                    self.expressions()?;
                }
                self.expect_mark(b')')
            }
        }
    }
}
