//! Text to JSON values: YAML and JSON, several documents, lists of objects.
//!
//! **Invariant:** whatever the text, the outcome is values or an error with a line, never a panic.

use serde_json::Value;
use serde_saphyr::Spanned;

use crate::error::FieldError;

/// One object as it was written.
pub(crate) struct Document {
    /// The line at which its document starts; 0 if that is not known.
    pub(crate) line: usize,
    /// What it says.
    pub(crate) value: Value,
}

/// Reads all objects of a text; those of a list, one by one.
///
/// # Errors
/// The line, and what is wrong there.
pub(crate) fn documents(text: &str) -> Result<Vec<Document>, (usize, FieldError)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let whole = if text.trim_start().starts_with(['{', '[']) {
        // Far faster than YAML, of which JSON is a part; and YAML's flow style may look like JSON at first.
        json(text).or_else(|error| yaml(text).map_err(|_| error))?
    } else {
        yaml(text)?
    };
    let mut documents = Vec::new();
    for document in whole {
        flatten(document, &mut documents);
    }
    Ok(documents)
}

fn json(text: &str) -> Result<Vec<Document>, (usize, FieldError)> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut documents = Vec::new();
    let (mut counted, mut line) = (0, 1);
    loop {
        // The next value starts after white space; only that tells its line.
        let rest = text.get(stream.byte_offset()..).unwrap_or_default();
        let start = text.len() - rest.trim_start().len();
        line += text
            .as_bytes()
            .get(counted..start)
            .unwrap_or_default()
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        counted = start;
        match stream.next() {
            None => return Ok(documents),
            Some(Ok(value)) => documents.push(Document { line, value }),
            Some(Err(error)) => {
                let problem = format!("this is not JSON: {error}");
                return Err((error.line(), FieldError::whole(problem, "correct the text")));
            }
        }
    }
}

fn yaml(text: &str) -> Result<Vec<Document>, (usize, FieldError)> {
    // The limits guard a service against strangers; a dump of a large cluster is beyond the usual ones. Those on aliases,
    // which make much of little, stay.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_documents: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_total_comment_bytes: usize::MAX,
        },
        // As kubectl reads it: 0644 is octal.
        legacy_octal_numbers: true,
    };
    let read = serde_saphyr::from_multiple_with_options::<Spanned<Value>>(text, options);
    match read {
        Ok(documents) => Ok(documents
            .into_iter()
            .map(|document| Document { line: line(document.referenced.line()), value: document.value })
            .collect()),
        Err(error) => {
            let at = error.location().map_or(0, |location| line(location.line()));
            let message = error.without_snippet().to_string();
            let problem = format!("this is not YAML: {}", message.lines().next().unwrap_or_default());
            Err((at, FieldError::whole(problem, "correct the text")))
        }
    }
}

fn line(line: u64) -> usize {
    usize::try_from(line).unwrap_or(0)
}

/// Takes lists apart: a bare array, `kind: List` as kubectl prints it, and `kind: PodList` and the like as the API server
/// does, whose items say neither kind nor version.
fn flatten(document: Document, into: &mut Vec<Document>) {
    let Document { line, value } = document;
    match value {
        Value::Null => {}
        Value::Array(items) => {
            for value in items {
                flatten(Document { line, value }, into);
            }
        }
        Value::Object(mut object) => {
            let kind = object.get("kind").and_then(Value::as_str).and_then(|kind| kind.strip_suffix("List"));
            let (Some(kind), Some(Value::Array(_))) = (kind, object.get("items")) else {
                into.push(Document { line, value: Value::Object(object) });
                return;
            };
            let (kind, version) = (kind.to_owned(), object.get("apiVersion").cloned());
            let Some(Value::Array(items)) = object.remove("items") else { return };
            for mut value in items {
                if let (Value::Object(item), false) = (&mut value, kind.is_empty()) {
                    item.entry("kind").or_insert_with(|| Value::String(kind.clone()));
                    if let Some(version) = &version {
                        item.entry("apiVersion").or_insert_with(|| version.clone());
                    }
                }
                flatten(Document { line, value }, into);
            }
        }
        value => into.push(Document { line, value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, String)> {
        documents(text)
            .unwrap()
            .into_iter()
            .map(|document| (document.line, document.value.to_string()))
            .collect()
    }

    #[test]
    fn documents_are_told_apart() {
        let text = "# a comment\n---\nkind: A\n---\n---\n# nothing\n---\nkind: B\nmode: 0644\n...\n";
        assert_eq!(read(text), [(3, r#"{"kind":"A"}"#.into()), (8, r#"{"kind":"B","mode":420}"#.into())]);
        assert_eq!(
            read("{\"kind\":\"A\"}\n\n{\"kind\":\"B\"}\n"),
            [(1, r#"{"kind":"A"}"#.into()), (3, r#"{"kind":"B"}"#.into())]
        );
        assert_eq!(read("{kind: A}"), [(1, r#"{"kind":"A"}"#.into())]);
        assert!(read("").is_empty() && read("---\n---\n").is_empty() && read("[]").is_empty());
    }

    #[test]
    fn lists_are_taken_apart() {
        let list = "kind: List\napiVersion: v1\nitems:\n- kind: A\n- kind: List\n  items: [{kind: B}]\n";
        assert_eq!(read(list), [(1, r#"{"kind":"A"}"#.into()), (1, r#"{"kind":"B"}"#.into())]);
        let list = r#"{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{}}]}"#;
        assert_eq!(read(list), [(1, r#"{"apiVersion":"v1","kind":"Pod","metadata":{}}"#.into())]);
    }

    #[test]
    fn errors_have_a_line() {
        for (text, line) in [("a: b\nc: [d\n", 2), ("a: 1\na: 2\n", 2), ("{\"a\":\n1", 2), ("a: *b\n", 1)] {
            let (at, error) = documents(text).err().unwrap();
            assert_eq!(at, line, "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
