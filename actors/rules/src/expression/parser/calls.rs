//! Calls of functions, and macros: `has`, `all`, `exists`, `map`, `filter`, `matches`.

use regex::RegexBuilder;

use super::super::functions::{Function, span_ms};
use super::super::lexer::TokenKind;
use super::super::tree::{Each, ExpressionKind, ExpressionNode};
use super::{Bad, BadExpression, Parser};
use twinhub_domain::Timestamp;

/// The most nested functions over lists: each level multiplies the cost.
const MOST_LOCALS: usize = 2;

/// A pattern, compiled, takes no more bytes than this.
const LARGEST_PATTERN: usize = 65_536;

impl<'a> Parser<'a> {
    /// A call of `name`; the next word is its bracket.
    pub(super) fn call(
        &mut self,
        name: &'a str,
        target: Option<ExpressionNode>,
        start: usize,
    ) -> Result<ExpressionNode, BadExpression> {
        let name_at = self.at.checked_sub(1).map_or(start, |before| self.words[before].start);
        self.at += 1;
        match (name, target) {
            ("has", None) => self.has(start),
            ("all", Some(target)) => self.each(Each::All, target),
            ("exists", Some(target)) => self.each(Each::Exists, target),
            ("exists_one" | "existsOne", Some(target)) => self.each(Each::ExistsOne, target),
            ("map", Some(target)) => self.each(Each::Map, target),
            ("filter", Some(target)) => self.each(Each::Filter, target),
            ("matches", Some(target)) => self.matches(target),
            ("all" | "exists" | "exists_one" | "existsOne" | "map" | "filter" | "matches", None) => {
                Err(Bad::new(name_at, format!("`{name}` is written behind a dot: x.{name}(…)")))
            }
            (_, target) => {
                let member = target.is_some();
                let (mut arguments, mut depth) = self.items(")")?;
                let end = self.last_end();
                if let Some(target) = target {
                    depth = depth.max(target.depth);
                    arguments.insert(0, target);
                }
                let function = Function::find(name, member, arguments.len())
                    .map_err(|detail| Bad::new(name_at, detail))?;
                check_literal(function, &arguments)?;
                self.node(ExpressionKind::Call(function, arguments.into()), start, end, depth)
            }
        }
    }

    fn has(&mut self, start: usize) -> Result<ExpressionNode, BadExpression> {
        let of = self.expression()?;
        if !matches!(of.kind, ExpressionKind::Name(_) | ExpressionKind::Member(_) | ExpressionKind::Index(_))
        {
            return Err(Bad::new(of.start(), "`has` asks whether something is there: has(pump.power)"));
        }
        self.expect(")", "a `)` is missing")?;
        let (end, depth) = (self.last_end(), of.depth);
        self.node(ExpressionKind::Has(Box::new(of)), start, end, depth)
    }

    /// `.all(x, …)` and the like; `.map(x, condition, value)` is a filter before a map.
    fn each(&mut self, each: Each, range: ExpressionNode) -> Result<ExpressionNode, BadExpression> {
        let at = self.start();
        let TokenKind::Ident(local) = *self.word() else {
            return Err(self.unexpected("first a name for each: list.all(x, x > 5)"));
        };
        if self.locals.len() >= MOST_LOCALS {
            return Err(Bad::new(at, format!("`all`, `exists`, `map`… go at most {MOST_LOCALS} deep")));
        }
        self.at += 1;
        self.expect(",", "a `,` is missing behind the name for each")?;
        self.locals.push(local);
        let parsed = self.each_of(each, range);
        self.locals.pop();
        parsed
    }

    fn each_of(&mut self, each: Each, range: ExpressionNode) -> Result<ExpressionNode, BadExpression> {
        let mut range = range;
        let mut body = self.expression()?;
        if each == Each::Map && self.take(",") {
            let (start, end, depth) = (range.start(), body.end(), range.depth.max(body.depth));
            range =
                self.node(ExpressionKind::Each(Each::Filter, Box::new((range, body))), start, end, depth)?;
            body = self.expression()?;
        }
        self.expect(")", "a `)` is missing")?;
        let (start, end, depth) = (range.start(), self.last_end(), range.depth.max(body.depth));
        self.node(ExpressionKind::Each(each, Box::new((range, body))), start, end, depth)
    }

    fn matches(&mut self, target: ExpressionNode) -> Result<ExpressionNode, BadExpression> {
        let at = self.start();
        let TokenKind::Text(pattern) = self.word().clone() else {
            return Err(self.unexpected("`matches` takes a pattern as a text: x.matches('^a.*z$')"));
        };
        self.at += 1;
        self.expect(")", "`matches` takes one text: a `)` is missing")?;
        let mut builder = RegexBuilder::new(&pattern);
        builder.size_limit(LARGEST_PATTERN).dfa_size_limit(LARGEST_PATTERN).nest_limit(16);
        let regex = builder.build().map_err(|error| {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
            Bad::new(at, format!("this is no pattern: {why}"))
        })?;
        let (start, end, depth) = (target.start(), self.last_end(), target.depth);
        self.node(ExpressionKind::Matches(Box::new((target, regex))), start, end, depth)
    }
}

/// Checks literal arguments when the expression is read, and not when it is to run.
fn check_literal(function: Function, arguments: &[ExpressionNode]) -> Result<(), BadExpression> {
    let bad = |node: &ExpressionNode, detail: String| Err(Bad::new(node.start(), detail));
    match (function, arguments) {
        (Function::Duration, [node]) => match &node.kind {
            ExpressionKind::Text(text) if span_ms(text).is_none() => {
                bad(node, format!("\"{text}\" is no length of time: write \"5m\", \"1h30m\", \"10s\""))
            }
            _ => Ok(()),
        },
        (Function::Timestamp, [node]) => match &node.kind {
            ExpressionKind::Text(text) if Timestamp::parse(text).is_none() => {
                bad(node, format!("\"{text}\" is no time: write \"2026-01-31T12:00:00Z\""))
            }
            _ => Ok(()),
        },
        (Function::Part(_), [_, zone]) => match &zone.kind {
            ExpressionKind::Text(name) if name.parse::<chrono_tz::Tz>().is_err() => {
                bad(zone, format!("there is no time zone \"{name}\": write \"Europe/Berlin\""))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
