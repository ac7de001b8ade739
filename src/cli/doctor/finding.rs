//! Findings of the doctor, one thing each.

use serde::Serialize;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingLevel {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// It does not work, or lets in who should not be in.
    Fail,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: FindingLevel,
    /// The area: `files`, `clock`.
    pub check: &'static str,
    pub detail: String,
    /// The thing to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { level: FindingLevel::Ok, check, detail: detail.into(), remedy: None }
    }

    /// Somebody should look at it.
    pub fn warn(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: FindingLevel::Warn, check, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    /// It has to be mended.
    pub fn fail(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: FindingLevel::Fail, ..Self::warn(check, detail, remedy) }
    }

    /// As a line: `warn  clock: …  → …`.
    pub fn line(&self) -> String {
        let level = match self.level {
            FindingLevel::Ok => "ok  ",
            FindingLevel::Warn => "warn",
            FindingLevel::Fail => "fail",
        };
        let text = format!("{level}  {}: {}", self.check, self.detail);
        match &self.remedy {
            Some(remedy) => format!("{text}  → {remedy}"),
            None => text,
        }
    }
}

/// `9 ok, 1 warning, 2 failures`.
pub fn summary(findings: &[Finding]) -> String {
    let of = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (ok, warn, fail) = (of(FindingLevel::Ok), of(FindingLevel::Warn), of(FindingLevel::Fail));
    let plural = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    format!("{ok} ok, {}, {}", plural(warn, "warning"), plural(fail, "failure"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_with_what_to_do() {
        let found = [
            Finding::ok("disk", "9 GB are free"),
            Finding::warn("clock", "it is wrong", "set it"),
            Finding::fail("files", "x is open", "chmod 600 x"),
        ];
        let lines: Vec<String> = found.iter().map(Finding::line).collect();
        assert_eq!(
            lines,
            [
                "ok    disk: 9 GB are free",
                "warn  clock: it is wrong  → set it",
                "fail  files: x is open  → chmod 600 x",
            ]
        );
        assert_eq!(summary(&found), "1 ok, 1 warning, 1 failure");
        assert_eq!(summary(&[]), "0 ok, 0 warnings, 0 failures");
        let json = serde_json::to_string(&found[1]).unwrap();
        assert_eq!(json, r#"{"level":"warn","check":"clock","detail":"it is wrong","remedy":"set it"}"#);
    }
}
