//! What can be wrong with a manifest, and how it is said.
//!
//! **Invariant:** every error names the field it is about, says what is wrong with it and what to do, and prints as one
//! line, whatever the text was that it came from.

use std::fmt;

/// What is wrong with one field of an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", one_line(&[path.as_str(), problem.as_str(), remedy.as_str()]))]
pub struct FieldError {
    /// Where, such as `spec.template.spec.requirements[2].values`; empty for the object as a whole.
    pub path: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", located(self))]
pub struct ApiError {
    /// The file, or whatever else the text came from.
    pub source_name: String,
    /// The line at which the document starts, or at which it cannot be read; 0 if that is not known.
    pub line: usize,
    /// The object as `Kind namespace/name`; empty if it cannot be told.
    pub object: String,
    /// The field and what is wrong with it.
    pub field: Box<FieldError>,
}

impl FieldError {
    /// About an object as a whole.
    pub(crate) fn whole(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: String::new(), problem: problem.into(), remedy: remedy.into() }
    }
}

/// Joins what there is with `: `, without line breaks or other control characters.
fn one_line(parts: &[&str]) -> String {
    let mut line = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.extend(part.chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    line
}

fn located(error: &ApiError) -> String {
    let at = match error.line {
        0 => error.source_name.clone(),
        line => format!("{}:{line}", error.source_name),
    };
    one_line(&[&at, &error.object, &error.field.to_string()])
}

/// Where in an object one is: a chain of steps on the stack, written out only when there is an error to report.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> At<'a> {
    /// At the object itself.
    pub(crate) const ROOT: At<'static> = At { parent: None, step: Step::Root };

    /// At a field of this.
    pub(crate) fn field(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Field(name) }
    }

    /// At an element of this list.
    pub(crate) fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }

    /// At a key of this map.
    pub(crate) fn key(&'a self, key: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Key(key) }
    }

    /// Reports what is wrong here.
    pub(crate) fn error(&self, problem: impl Into<String>, remedy: impl Into<String>) -> FieldError {
        FieldError { path: self.to_string(), problem: problem.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below_root = self.parent.is_some_and(|parent| !matches!(parent.step, Step::Root));
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) if below_root => write!(f, ".{name}"),
            Step::Field(name) => f.write_str(name),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_line_with_place_and_remedy() {
        let (spec, terms) = (At::ROOT.field("spec"), "requirements");
        let field = spec.field(terms).index(2).error("is\nodd", "make it even");
        assert_eq!(field.to_string(), "spec.requirements[2]: is odd: make it even");
        let object = "NodePool a".to_owned();
        let error = ApiError { source_name: "a.yaml".into(), line: 3, object, field: Box::new(field) };
        assert_eq!(error.to_string(), "a.yaml:3: NodePool a: spec.requirements[2]: is odd: make it even");
        let labels = At::ROOT.field("metadata");
        let labels = labels.field("labels");
        assert_eq!(labels.key("a.b/c").to_string(), "metadata.labels[a.b/c]");
    }
}
