//! Label selectors in normal form.
//!
//! **Invariant:** selectors that mean the same by the same comparisons are equal values: `matchLabels` are written as
//! `In`, expressions and values are sorted and there once. No selector at all selects nothing, an empty one everything.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as Written;
use purser_engine::model::{LabelExpression, LabelOperator, LabelSelector, Labels, Str};

use crate::error::{At, FieldError};

/// A selector that selects nothing: one of no values.
///
/// Source: `LabelSelectorAsSelector` of k8s.io/apimachinery/pkg/apis/meta/v1 gives this for a selector that is not there.
fn nothing() -> LabelExpression {
    LabelExpression { key: "".into(), operator: LabelOperator::In, values: Vec::new() }
}

/// Reads a selector.
pub(crate) fn selector(at: &At<'_>, written: Option<&Written>) -> Result<LabelSelector, FieldError> {
    expressions(at, written).map(normal)
}

/// Reads the selector of a pod's constraint, narrowed by the pod's own values of some labels.
///
/// Labels that the pod does not have narrow nothing.
///
/// Source: kube-scheduler, pkg/scheduler/framework/plugins/podtopologyspread/common.go, and the API server's
/// `applyMatchLabelKeysAndMismatchLabelKeys` (pkg/registry/core/pod/strategy.go).
pub(crate) fn narrowed(
    at: &At<'_>,
    written: Option<&Written>,
    own: &Labels,
    match_keys: Option<&[String]>,
    mismatch_keys: Option<&[String]>,
) -> Result<LabelSelector, FieldError> {
    let mut all = expressions(at, written)?;
    for (keys, operator) in [(match_keys, LabelOperator::In), (mismatch_keys, LabelOperator::NotIn)] {
        for key in keys.unwrap_or_default() {
            if let Some((key, value)) = own.get_key_value(key.as_str()) {
                all.push(LabelExpression { key: key.clone(), operator, values: vec![value.clone()] });
            }
        }
    }
    Ok(normal(all))
}

fn normal(mut expressions: Vec<LabelExpression>) -> LabelSelector {
    expressions.sort();
    expressions.dedup();
    LabelSelector(expressions)
}

fn expressions(at: &At<'_>, written: Option<&Written>) -> Result<Vec<LabelExpression>, FieldError> {
    let Some(written) = written else { return Ok(vec![nothing()]) };
    let mut all: Vec<LabelExpression> = written
        .match_labels
        .iter()
        .flatten()
        .map(|(key, value)| LabelExpression {
            key: key.as_str().into(),
            operator: LabelOperator::In,
            values: vec![value.as_str().into()],
        })
        .collect();
    let list = at.field("matchExpressions");
    for (index, expression) in written.match_expressions.iter().flatten().enumerate() {
        let at = list.index(index);
        let mut values: Vec<Str> =
            expression.values.iter().flatten().map(|value| value.as_str().into()).collect();
        values.sort();
        values.dedup();
        let operator = match expression.operator.as_str() {
            "In" => LabelOperator::In,
            "NotIn" => LabelOperator::NotIn,
            "Exists" => LabelOperator::Exists,
            "DoesNotExist" => LabelOperator::DoesNotExist,
            other => {
                let problem = format!("{other:?} is not an operator of a label selector");
                return Err(at.field("operator").error(problem, "write In, NotIn, Exists or DoesNotExist"));
            }
        };
        let takes_values = matches!(operator, LabelOperator::In | LabelOperator::NotIn);
        let name = &expression.operator;
        if takes_values && values.is_empty() {
            let remedy = "add one, or use operator Exists or DoesNotExist";
            return Err(at
                .field("values")
                .error(format!("operator {name} needs at least one value"), remedy));
        }
        if !takes_values && !values.is_empty() {
            let remedy = "remove the values, or use operator In or NotIn";
            return Err(at.field("values").error(format!("operator {name} takes no values"), remedy));
        }
        all.push(LabelExpression { key: expression.key.as_str().into(), operator, values });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::decode::decode;

    fn read(value: Value) -> Result<LabelSelector, FieldError> {
        let written: Written = decode(&value).unwrap();
        selector(&At::ROOT.field("labelSelector"), Some(&written))
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    #[test]
    fn none_selects_nothing_and_empty_selects_all() {
        let none = selector(&At::ROOT, None).unwrap();
        assert!(!none.matches(&labels(&[])) && !none.matches(&labels(&[("a", "1")])));
        assert!(read(json!({})).unwrap().matches(&labels(&[])));
    }

    #[test]
    fn equal_selectors_are_equal_values() {
        let a = json!({"matchLabels": {"b": "1"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}]});
        let b = json!({"matchExpressions": [
            {"key": "b", "operator": "In", "values": ["1"]}, {"key": "a", "operator": "In", "values": ["x", "y", "x"]}
        ]});
        assert_eq!(read(a).unwrap(), read(b).unwrap());
    }

    #[test]
    fn own_values_narrow() {
        let own = labels(&[("hash", "abc"), ("tier", "web")]);
        let keys = ["hash".to_owned(), "absent".to_owned()];
        let written = Written::default();
        let narrow =
            narrowed(&At::ROOT, Some(&written), &own, Some(&keys), Some(&["tier".to_owned()])).unwrap();
        assert!(narrow.matches(&labels(&[("hash", "abc"), ("tier", "db")])));
        assert!(!narrow.matches(&labels(&[("hash", "abc"), ("tier", "web")])));
        assert!(!narrow.matches(&labels(&[("hash", "x")])));
        assert_eq!(narrow.0.len(), 2);
    }

    #[test]
    fn errors_name_the_expression() {
        for (expression, text) in [
            (
                json!({"key": "a", "operator": "Gt", "values": ["1"]}),
                "labelSelector.matchExpressions[0].operator: \"Gt\" is not an operator of a label selector: write In, \
                 NotIn, Exists or DoesNotExist",
            ),
            (
                json!({"key": "a", "operator": "In"}),
                "labelSelector.matchExpressions[0].values: operator In needs at least one value: add one, or use operator \
                 Exists or DoesNotExist",
            ),
            (
                json!({"key": "a", "operator": "Exists", "values": ["1"]}),
                "labelSelector.matchExpressions[0].values: operator Exists takes no values: remove the values, or use \
                 operator In or NotIn",
            ),
        ] {
            assert_eq!(read(json!({"matchExpressions": [expression]})).unwrap_err().to_string(), text);
        }
    }
}
