//! Single values, and their continuation by a dot or square brackets.

use super::super::lexer::TokenKind;
use super::super::name::{Name, Root};
use super::super::tree::{ExpressionKind, ExpressionNode};
use super::super::twin_names;
use super::{Bad, BadExpression, Names, Parser};
use twinhub_domain::DeviceId;

impl<'a> Parser<'a> {
    /// A literal, a name, a call, a list, a map or something in brackets.
    pub(super) fn primary(&mut self) -> Result<ExpressionNode, BadExpression> {
        let (start, end) = (self.start(), self.words[self.at].end);
        let word = self.word().clone();
        self.at += usize::from(word != TokenKind::End);
        let kind = match word {
            TokenKind::Int(value) => ExpressionKind::Int(value),
            TokenKind::Double(value) => ExpressionKind::Double(value),
            TokenKind::Text(text) => ExpressionKind::Text(text),
            TokenKind::Ident("true") => ExpressionKind::Bool(true),
            TokenKind::Ident("false") => ExpressionKind::Bool(false),
            TokenKind::Ident("null") => ExpressionKind::Null,
            TokenKind::Ident("not") if !self.is(".") => return Err(Bad::new(start, "`not` is written `!`")),
            TokenKind::Ident("in") => return Err(Bad::new(start, "`in` goes between two values")),
            TokenKind::Ident(word) => return self.ident(word, start, end),
            TokenKind::Sign("(") => {
                let inner = self.expression()?;
                self.expect(")", "a `)` is missing")?;
                return Ok(inner);
            }
            TokenKind::Sign("[") => return self.list(start),
            TokenKind::Sign("{") => return self.map(start),
            TokenKind::Sign(_) | TokenKind::End => {
                self.at -= usize::from(word != TokenKind::End);
                return Err(self.unexpected("a value is missing"));
            }
        };
        self.node(kind, start, end, 0)
    }

    fn list(&mut self, start: usize) -> Result<ExpressionNode, BadExpression> {
        let (items, depth) = self.items("]")?;
        let end = self.last_end();
        self.node(ExpressionKind::List(items.into()), start, end, depth)
    }

    fn map(&mut self, start: usize) -> Result<ExpressionNode, BadExpression> {
        let (mut entries, mut depth) = (Vec::new(), 0);
        while !self.is("}") {
            let key = self.expression()?;
            self.expect(":", "a `:` is missing behind the key")?;
            let value = self.expression()?;
            depth = depth.max(key.depth).max(value.depth);
            entries.push((key, value));
            if !self.take(",") {
                break;
            }
        }
        self.expect("}", "a `}` is missing")?;
        let end = self.last_end();
        self.node(ExpressionKind::Map(entries.into()), start, end, depth)
    }

    /// Values with commas between them up to `close`, which is taken too, and how deep they are.
    pub(super) fn items(&mut self, close: &str) -> Result<(Vec<ExpressionNode>, u8), BadExpression> {
        let (mut items, mut depth) = (Vec::new(), 0);
        while !self.is(close) {
            let item = self.expression()?;
            depth = depth.max(item.depth);
            items.push(item);
            if !self.take(",") {
                break;
            }
        }
        self.expect(close, &format!("a `{close}` or a `,` is missing"))?;
        Ok((items, depth))
    }

    /// A word: the name of a function, of a macro's variable, or of a device.
    fn ident(&mut self, word: &'a str, start: usize, end: usize) -> Result<ExpressionNode, BadExpression> {
        if self.is("(") {
            return self.call(word, None, start);
        }
        if let Some(local) = self.locals.iter().rposition(|local| *local == word) {
            let local = u8::try_from(local).unwrap_or(u8::MAX);
            return self.node(ExpressionKind::Local(local), start, end, 0);
        }
        if self.names == Names::OfTwin {
            let root = twin_names::root_of(word).map_err(|detail| Bad::new(start, detail))?;
            let first = (root == Root::Itself && word != twin_names::ITSELF).then(|| word.into());
            return self.name(root, first, start);
        }
        let root = if word == "twin" { self.twin(start)? } else { Name::root_of(word) };
        let Some(root) = root else {
            return Err(Bad::new(start, format!("`{word}` is too long for a device's id")));
        };
        self.name(root, None, start)
    }

    /// `['pump-1']` behind `twin`.
    fn twin(&mut self, start: usize) -> Result<Option<Root>, BadExpression> {
        self.expect("[", "`twin` is followed by an id: twin['pump-1']")?;
        let at = self.start();
        let TokenKind::Text(id) = self.word().clone() else {
            let detail = "between `twin[` and `]` goes an id as a text, twin['pump-1']: what a rule looks at \
                          must be known before it runs (the device that fired it is `device`)";
            return Err(Bad::new(at, detail));
        };
        let id = DeviceId::parse(&id).map_err(|error| Bad::new(at, error.to_string()))?;
        self.at += 1;
        self.expect("]", "between `twin[` and `]` goes one id as a text: a `]` is missing")?;
        let _ = start;
        Ok(Some(Root::Device(id)))
    }

    /// The rest of a name behind its first word: `.a`, `['a']`, as long as it is fixed and no call. `first` is its
    /// first part where that has been read already.
    fn name(
        &mut self,
        root: Root,
        first: Option<Box<str>>,
        start: usize,
    ) -> Result<ExpressionNode, BadExpression> {
        let mut path: Vec<Box<str>> = Vec::from_iter(first);
        loop {
            let next = |ahead: usize| self.words.get(self.at + ahead).map(|word| &word.word);
            match (next(0), next(1), next(2)) {
                (Some(TokenKind::Sign(".")), Some(TokenKind::Ident(word)), after)
                    if after != Some(&TokenKind::Sign("(")) =>
                {
                    path.push((*word).into());
                    self.at += 2;
                }
                (Some(TokenKind::Sign("[")), Some(TokenKind::Text(word)), Some(TokenKind::Sign("]"))) => {
                    path.push(word.clone());
                    self.at += 3;
                }
                _ => break,
            }
        }
        let end = self.last_end();
        if root == Root::Itself {
            twin_names::unalias(&mut path);
        }
        let name = Name { root, path: path.into() };
        let text = self.text.get(start..end).unwrap_or_default();
        name.check(text).map_err(|detail| Bad::new(start, detail))?;
        self.node(ExpressionKind::Name(Box::new(name)), start, end, 0)
    }

    /// The continuation of a value: `.a`, `.f(…)`, `[…]`.
    pub(super) fn tail(&mut self, mut of: ExpressionNode) -> Result<ExpressionNode, BadExpression> {
        loop {
            let start = of.start();
            if self.take(".") {
                let TokenKind::Ident(word) = *self.word() else {
                    return Err(self.unexpected("a name is missing behind the `.`"));
                };
                self.at += 1;
                if self.is("(") {
                    of = self.call(word, Some(of), start)?;
                    continue;
                }
                let (end, depth) = (self.last_end(), of.depth);
                of = self.node(ExpressionKind::Member(Box::new((of, word.into()))), start, end, depth)?;
            } else if self.take("[") {
                let index = self.expression()?;
                self.expect("]", "a `]` is missing")?;
                let (end, depth) = (self.last_end(), of.depth.max(index.depth));
                of = self.node(ExpressionKind::Index(Box::new((of, index))), start, end, depth)?;
            } else if self.is("(") {
                return Err(Bad::new(
                    self.start(),
                    "only functions are called: an operator is missing before this",
                ));
            } else {
                return Ok(of);
            }
        }
    }
}
