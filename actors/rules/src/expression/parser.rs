//! From words to the tree. Everything is bounded: the text by its length, the tree by its depth and its size.

mod calls;
mod chains;

use super::lexer::{Token, TokenKind, words};
use super::operators::Operator;
use super::tree::{ExpressionKind, ExpressionNode};
use super::twin_names;
use super::{BadExpression, BadExpression as Bad, LONGEST};

/// Parts lie at most so deep within each other. Each level costs a few hundred bytes of stack, here and in the
/// evaluation; a condition that people wrote has five.
const DEEPEST: u8 = 48;

/// The most parts of an expression.
const MOST_NODES: usize = 400;

/// Operators by how strongly they bind begin with this.
const LOOSEST: u8 = 1;

/// A recursive descent parser over words.
pub struct Parser<'a> {
    text: &'a str,
    words: Vec<Token<'a>>,
    at: usize,
    /// The depth of nested calls of this parser.
    depth: u8,
    nodes: usize,
    /// The variables of `all`, `exists`, …, from outside.
    locals: Vec<&'a str>,
    names: Names,
}

/// The meaning of a name's first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// A device: rules read many.
    OfDevices,
    /// A part of the one twin that is read.
    OfTwin,
}

impl<'a> Parser<'a> {
    /// The tree of `text`.
    pub fn parse(text: &'a str, names: Names) -> Result<ExpressionNode, BadExpression> {
        if text.len() > LONGEST {
            let detail =
                format!("an expression has {LONGEST} bytes at most, and this one has {}", text.len());
            return Err(Bad::new(LONGEST, detail));
        }
        let words = words(text)?;
        let mut parser = Self { text, words, at: 0, depth: 0, nodes: 0, locals: Vec::new(), names };
        if parser.word() == &TokenKind::End {
            return Err(Bad::new(0, "there is no expression here"));
        }
        let root = parser.expression()?;
        parser.end()?;
        Ok(root)
    }

    /// `a ? b : c`, and everything that binds stronger.
    fn expression(&mut self) -> Result<ExpressionNode, BadExpression> {
        self.deeper(|parser| {
            let condition = parser.logic("||")?;
            if !parser.take("?") {
                return Ok(condition);
            }
            let yes = parser.logic("||")?;
            parser.expect(":", "`? … :` has no `:`")?;
            let no = parser.expression()?;
            let (start, end) = (condition.start(), no.end());
            let depth = condition.depth.max(yes.depth).max(no.depth);
            parser.node(ExpressionKind::Choose(Box::new((condition, yes, no))), start, end, depth)
        })
    }

    /// A chain of `||`, or of `&&`.
    fn logic(&mut self, sign: &'static str) -> Result<ExpressionNode, BadExpression> {
        let next = |parser: &mut Self| if sign == "||" { parser.logic("&&") } else { parser.binary(LOOSEST) };
        let first = next(self)?;
        if !self.is(sign) {
            return Ok(first);
        }
        let (start, mut depth) = (first.start(), first.depth);
        let mut parts = vec![first];
        while self.take(sign) {
            let part = next(self)?;
            depth = depth.max(part.depth);
            parts.push(part);
        }
        let end = parts.last().map_or(start, ExpressionNode::end);
        let parts = parts.into_boxed_slice();
        self.node(
            if sign == "||" { ExpressionKind::Or(parts) } else { ExpressionKind::And(parts) },
            start,
            end,
            depth,
        )
    }

    /// A chain of operators that bind as strongly as `least` or stronger.
    fn binary(&mut self, least: u8) -> Result<ExpressionNode, BadExpression> {
        let mut left = self.unary()?;
        while let Some((operator, strength)) = self.operator().filter(|(_, strength)| *strength >= least) {
            let chained = matches!(left.kind, ExpressionKind::Binary(before, _) if before.orders());
            if operator.orders() && chained && !self.bracketed(&left) {
                return Err(Bad::new(self.start(), "comparisons do not chain: write `a < b && b < c`"));
            }
            self.at += 1;
            let mut right = self.deeper(|parser| parser.binary(strength + 1))?;
            if self.names == Names::OfTwin && operator.equates() {
                twin_names::tag_as_text(self.text, &mut left, &mut right);
            }
            super::name::read_old_status(operator, &mut left, &mut right);
            let (start, end) = (left.start(), right.end());
            let depth = left.depth.max(right.depth);
            left = self.node(ExpressionKind::Binary(operator, Box::new((left, right))), start, end, depth)?;
        }
        Ok(left)
    }

    /// `!a`, `-a`.
    fn unary(&mut self) -> Result<ExpressionNode, BadExpression> {
        let start = self.start();
        if self.take("!") {
            let of = self.deeper(Self::unary)?;
            let (end, depth) = (of.end(), of.depth);
            return self.node(ExpressionKind::Not(Box::new(of)), start, end, depth);
        }
        if self.is("-") {
            self.at += 1;
            let end = self.words[self.at].end;
            if let TokenKind::Int(value) = *self.word() {
                self.at += 1;
                let node = self.node(ExpressionKind::Int(-value), start, end, 0)?;
                return self.tail(node);
            }
            let of = self.deeper(Self::unary)?;
            let (end, depth) = (of.end(), of.depth);
            return self.node(ExpressionKind::Negate(Box::new(of)), start, end, depth);
        }
        let node = self.primary()?;
        self.tail(node)
    }

    fn operator(&self) -> Option<(Operator, u8)> {
        match self.word() {
            TokenKind::Sign(sign) => Operator::parse(sign),
            TokenKind::Ident("in") => Operator::parse("in"),
            _ => None,
        }
    }

    /// Is `node` in brackets of its own?
    fn bracketed(&self, node: &ExpressionNode) -> bool {
        let before = self.words.iter().rev().find(|word| word.end <= node.start());
        let after = self.words.iter().find(|word| word.start >= node.end());
        matches!(before.map(|word| &word.word), Some(TokenKind::Sign("(")))
            && matches!(after.map(|word| &word.word), Some(TokenKind::Sign(")")))
    }

    /// Goes one level deeper.
    fn deeper(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<ExpressionNode, BadExpression>,
    ) -> Result<ExpressionNode, BadExpression> {
        if self.depth >= DEEPEST {
            return Err(self.too_deep());
        }
        self.depth += 1;
        let node = parse(self);
        self.depth -= 1;
        node
    }

    /// A part whose parts lie `below` deep.
    fn node(
        &mut self,
        kind: ExpressionKind,
        start: usize,
        end: usize,
        below: u8,
    ) -> Result<ExpressionNode, BadExpression> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(Bad::new(
                start,
                format!("an expression has at most {MOST_NODES} parts, this has more"),
            ));
        }
        if below >= DEEPEST {
            return Err(self.too_deep());
        }
        Ok(ExpressionNode::new(kind, start, end, below + 1))
    }

    fn too_deep(&self) -> BadExpression {
        let detail = format!("this is nested more than {DEEPEST} deep: split it into several conditions");
        Bad::new(self.start(), detail)
    }

    fn word(&self) -> &TokenKind<'a> {
        &self.words[self.at].word // the last is the end, and nothing goes beyond that
    }

    /// The start of the next word.
    fn start(&self) -> usize {
        self.words[self.at].start
    }

    /// The end of the last word.
    fn last_end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |before| self.words[before].end)
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.word(), TokenKind::Sign(found) if *found == sign)
    }

    /// Takes `sign` if it is the next word.
    fn take(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str, otherwise: &str) -> Result<(), BadExpression> {
        if self.take(sign) { Ok(()) } else { Err(self.unexpected(otherwise)) }
    }

    /// Checks that nothing follows the expression.
    fn end(&self) -> Result<(), BadExpression> {
        let at = self.start();
        Err(Bad::new(
            at,
            match self.word() {
                TokenKind::End => return Ok(()),
                TokenKind::Ident("and") => "`and` is written `&&`".into(),
                TokenKind::Ident("or") => "`or` is written `||`".into(),
                TokenKind::Ident("is") => "`is` is written `==`".into(),
                TokenKind::Sign(sign @ (")" | "]" | "}")) => format!("this `{sign}` closes nothing"),
                _ => format!("an operator (`&&`, `||`, `==`, `<`…) is missing before {}", self.shown()),
            },
        ))
    }

    /// The error about the next word: `wanted` names the expected one.
    fn unexpected(&self, wanted: &str) -> BadExpression {
        let found = match self.word() {
            TokenKind::End => "the expression ends here".to_owned(),
            _ => format!("{} is here", self.shown()),
        };
        Bad::new(self.start(), format!("{wanted}: {found}"))
    }

    fn shown(&self) -> String {
        let word = &self.words[self.at];
        format!("`{}`", self.text.get(word.start..word.end).unwrap_or_default())
    }
}
