//! Errors that would otherwise show only when the template is filled, found when it is read: unknown filters, tests and
//! functions, and names without a meaning.

use minijinja::machinery::Span;
use minijinja::machinery::ast::{BinOpKind, CallArg, CompareOp, CompareOpKind, Expr, Stmt};

use super::environment::{FILTERS, TESTS};
use crate::expression::{Name, Root};
use twinhub_domain::status::UNKNOWN;

/// The members of `loop` within `{% for %}`.
const LOOP: [&str; 13] = [
    "index",
    "index0",
    "revindex",
    "revindex0",
    "first",
    "last",
    "length",
    "depth",
    "depth0",
    "previtem",
    "nextitem",
    "cycle",
    "changed",
];
/// These filters accept undefined values, or a twin as a whole.
const TAKE_ANYTHING: [&str; 5] = ["count", "d", "default", "items", "length"];
/// Filters that people know from elsewhere, and ours in their place.
const ELSEWHERE: [(&str, &str); 6] = [
    ("format", "a number is rounded by `round(1)`"),
    ("regex_replace", "`replace('a', 'b')` replaces a text"),
    ("timestamp_custom", "`now` and times of twins are filled in as RFC 3339 texts"),
    ("to_json", "it is written `tojson`"),
    ("is_defined", "it is written `is defined`, without `|`"),
    ("float_format", "a number is rounded by `round(1)`"),
];

/// A place in the source, and the error there.
pub type Wrong = (usize, String);

/// Looks through a whole template.
///
/// # Errors
/// Finds the first expression that can only fail.
pub fn template(root: &Stmt<'_>) -> Result<(), Wrong> {
    Check::default().statement(root)
}

/// The walk, with the names that loops have given so far.
#[derive(Default)]
struct Check<'a> {
    named: Vec<&'a str>,
    loops: usize,
}

impl<'a> Check<'a> {
    fn statement(&mut self, statement: &Stmt<'a>) -> Result<(), Wrong> {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitExpr(emit) => self.value(&emit.expr),
            Stmt::IfCond(choice) => {
                self.value(&choice.expr)?;
                self.statements(&choice.true_body)?;
                self.statements(&choice.false_body)
            }
            Stmt::ForLoop(each) => {
                match &each.iter {
                    Expr::Var(_) => self.named_value(&each.iter)?,
                    other => self.anything(other)?,
                }
                let before = self.named.len();
                self.name(&each.target);
                self.loops += 1;
                each.filter_expr.iter().try_for_each(|filter| self.value(filter))?;
                self.statements(&each.body)?;
                self.loops -= 1;
                self.named.truncate(before);
                self.statements(&each.else_body)
            }
            _ => Ok(()), // text; no other tag may stand in a template
        }
    }

    fn statements(&mut self, statements: &[Stmt<'a>]) -> Result<(), Wrong> {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    /// Adds a loop's variable.
    fn name(&mut self, target: &Expr<'a>) {
        match target {
            Expr::Var(name) => self.named.push(name.id),
            Expr::List(names) => names.items.iter().for_each(|name| self.name(name)),
            Expr::Tuple(names) => names.items.iter().for_each(|name| self.name(name)),
            _ => {}
        }
    }

    /// Checks an expression that must be a value, and no twin.
    fn value(&self, expr: &Expr<'a>) -> Result<(), Wrong> {
        match expr {
            Expr::Var(_) | Expr::GetAttr(_) => self.named_value(expr),
            other => self.anything(other),
        }
    }

    /// Checks a name, which must have a value.
    fn named_value(&self, expr: &Expr<'a>) -> Result<(), Wrong> {
        let Some((word, path)) = chain(expr) else { return self.anything(expr) };
        if self.is_known(word) || word == "twin" {
            return self.anything(expr);
        }
        let Some(root) = Name::root_of(word) else {
            return Err(wrong(start(expr), format!("nothing is called `{word}`{}", self.near(word))));
        };
        if path.is_empty() && matches!(root, Root::Trigger | Root::Now) {
            return Ok(());
        }
        let text = [&[word], &path[..]].concat().join(".");
        let name = Name { root, path: path.iter().map(|part| Box::from(*part)).collect() };
        name.check(&text).map_err(|why| wrong(start(expr), format!("{why}{}", self.near(word))))?;
        self.anything(expr)
    }

    /// Checks an expression that may be a whole twin too.
    fn anything(&self, expr: &Expr<'a>) -> Result<(), Wrong> {
        match expr {
            Expr::Var(name) if name.id == "loop" && self.loops == 0 => {
                Err(wrong(start(expr), "`loop` is known within `{% for %}` alone".into()))
            }
            Expr::Var(_) | Expr::Const(_) => Ok(()),
            Expr::GetAttr(of) => {
                if let Expr::Var(base) = &of.expr
                    && base.id == "loop"
                    && !self.named.contains(&"loop")
                    && !LOOP.contains(&of.name)
                {
                    let detail = format!("`loop` has no `{}`{}", of.name, near(of.name, &LOOP));
                    return Err(wrong(start(expr), detail));
                }
                self.anything(&of.expr)
            }
            Expr::GetItem(of) => {
                self.anything(&of.expr)?;
                self.value(&of.subscript_expr)
            }
            Expr::Slice(of) => {
                self.anything(&of.expr)?;
                [&of.start, &of.stop, &of.step].into_iter().flatten().try_for_each(|part| self.value(part))
            }
            Expr::UnaryOp(of) => self.value(&of.expr),
            Expr::BinOp(of) => {
                if matches!(of.op, BinOpKind::Eq | BinOpKind::Ne | BinOpKind::In) {
                    self.no_old_status(&of.left, &of.right)?;
                }
                self.value(&of.left)?;
                self.value(&of.right)
            }
            Expr::Compare(of) => {
                self.value(&of.expr)?;
                let mut left = &of.expr;
                for CompareOp { op, expr } in &of.ops {
                    if matches!(
                        op,
                        CompareOpKind::Eq | CompareOpKind::Ne | CompareOpKind::In | CompareOpKind::NotIn
                    ) {
                        self.no_old_status(left, expr)?;
                    }
                    self.value(expr)?;
                    left = expr;
                }
                Ok(())
            }
            Expr::IfExpr(choice) => {
                self.value(&choice.test_expr)?;
                self.value(&choice.true_expr)?;
                choice.false_expr.iter().try_for_each(|other| self.value(other))
            }
            Expr::Filter(filter) => {
                if !FILTERS.contains(&filter.name) {
                    return Err(wrong(begin(filter.span()), no_filter(filter.name)));
                }
                match &filter.expr {
                    Some(of) if TAKE_ANYTHING.contains(&filter.name) => self.anything(of)?,
                    of => of.iter().try_for_each(|of| self.value(of))?,
                }
                self.arguments(&filter.args)
            }
            Expr::Test(test) => {
                if !TESTS.contains(&test.name) {
                    let detail = format!("there is no test `is {}`{}", test.name, near(test.name, &TESTS));
                    return Err(wrong(begin(test.span()), detail));
                }
                self.anything(&test.expr)?;
                self.arguments(&test.args)
            }
            Expr::Call(call) => match chain(&call.expr) {
                Some(("loop", path)) if matches!(path[..], ["cycle" | "changed"]) && self.loops > 0 => {
                    self.arguments(&call.args)
                }
                Some((word, path)) if path.is_empty() => {
                    let detail = format!("there is no function `{word}` here; a filter follows `|`");
                    Err(wrong(start(expr), detail))
                }
                _ => Err(wrong(
                    start(expr),
                    "values have no methods here: a filter follows `|`, fan.power | upper".into(),
                )),
            },
            Expr::List(list) => list.items.iter().try_for_each(|item| self.value(item)),
            Expr::Tuple(tuple) => tuple.items.iter().try_for_each(|item| self.value(item)),
            Expr::Map(map) => map.keys.iter().chain(&map.values).try_for_each(|part| self.value(part)),
        }
    }

    /// Jinja compares by itself, so the word of earlier versions for a device that was never heard would be one that
    /// no status ever is.
    fn no_old_status(&self, one: &Expr<'a>, other: &Expr<'a>) -> Result<(), Wrong> {
        let is_status = |expr: &Expr<'a>| match chain(expr) {
            Some((word, path)) => path == ["status"] && !self.is_known(word) && word != "trigger",
            // twin['fan-1'].status
            None => matches!(expr, Expr::GetAttr(of) if of.name == "status" && is_twin(&of.expr)),
        };
        for (status, asked) in [(one, other), (other, one)] {
            if is_status(status) && says(asked, UNKNOWN) {
                let detail = "no status is `unknown`: a device that was never heard is `offline`, and has no \
                              `last_seen`";
                return Err(wrong(start(asked), detail.into()));
            }
        }
        Ok(())
    }

    fn arguments(&self, arguments: &[CallArg<'a>]) -> Result<(), Wrong> {
        arguments.iter().try_for_each(|argument| match argument {
            CallArg::Pos(value)
            | CallArg::Kwarg(_, value)
            | CallArg::PosSplat(value)
            | CallArg::KwargSplat(value) => self.value(value),
        })
    }

    /// Has a loop named it, or we ourselves?
    fn is_known(&self, word: &str) -> bool {
        self.named.contains(&word) || word == "loop" || word.starts_with('_')
    }

    fn near(&self, word: &str) -> String {
        near(word, &self.named)
    }
}

fn is_twin(expr: &Expr<'_>) -> bool {
    matches!(expr, Expr::GetItem(of) if matches!(&of.expr, Expr::Var(name) if name.id == "twin"))
}

/// Is it this text, or a list with it?
fn says(expr: &Expr<'_>, text: &str) -> bool {
    match expr {
        Expr::Const(constant) => constant.value.as_str() == Some(text),
        Expr::List(list) => list.items.iter().any(|item| says(item, text)),
        Expr::Tuple(tuple) => tuple.items.iter().any(|item| says(item, text)),
        _ => false,
    }
}

/// The name that an expression is: its first word, and the parts behind it.
fn chain<'a>(expr: &Expr<'a>) -> Option<(&'a str, Vec<&'a str>)> {
    match expr {
        Expr::Var(name) => Some((name.id, Vec::new())),
        Expr::GetAttr(of) => {
            let (word, mut path) = chain(&of.expr)?;
            path.push(of.name);
            Some((word, path))
        }
        _ => None,
    }
}

fn no_filter(name: &str) -> String {
    let hint = match ELSEWHERE.iter().find(|(theirs, _)| *theirs == name) {
        Some((_, instead)) => format!("; {instead}"),
        None => near(name, &FILTERS),
    };
    format!("there is no filter `{name}`{hint}")
}

fn near(word: &str, words: &[&str]) -> String {
    let slips = words.iter().map(|other| (strsim::damerau_levenshtein(word, other), *other));
    let nearest = slips.min().filter(|(slips, _)| *slips <= (word.len() / 4).max(1) && *slips < word.len());
    nearest.map(|(_, other)| format!("; did you mean `{other}`?")).unwrap_or_default()
}

fn wrong(at: usize, detail: String) -> Wrong {
    (at, detail)
}

/// The start of an expression, the value in front of its dots and brackets included.
fn start(expr: &Expr<'_>) -> usize {
    match expr {
        Expr::GetAttr(of) => start(&of.expr),
        Expr::GetItem(of) => start(&of.expr),
        Expr::Slice(of) => start(&of.expr),
        Expr::Call(call) => start(&call.expr),
        other => begin(other.span()),
    }
}

fn begin(span: Span) -> usize {
    span.start_offset as usize
}
