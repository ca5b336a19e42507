// SPDX-License-Identifier: Apache-2.0
//! Label selectors.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::Rejected;
use crate::model::{Name, Operator, Requirement, Selector};

pub(super) fn parse(field: &str, selector: &LabelSelector) -> Result<Selector, Rejected> {
    let mut requirements: Vec<Requirement> = Vec::new();
    for (key, value) in selector.match_labels.iter().flatten() {
        requirements.push(Requirement {
            key: key.into(),
            operator: Operator::In([value.into()].into()),
        });
    }
    for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let field = format!("{field}.matchExpressions[{index}]");
        let values = expression.values.iter().flatten();
        let mut values: Vec<Name> = values.map(Name::from).collect();
        values.sort();
        values.dedup();
        let operator = match (expression.operator.as_str(), values.is_empty()) {
            ("In", false) => Operator::In(values.into()),
            ("NotIn", false) => Operator::NotIn(values.into()),
            ("Exists", true) => Operator::Exists,
            ("DoesNotExist", true) => Operator::DoesNotExist,
            ("In" | "NotIn", true) => {
                return Err(Rejected::new(
                    format!("{field}.values"),
                    format!("{} needs at least one value", expression.operator),
                ));
            }
            ("Exists" | "DoesNotExist", false) => {
                return Err(Rejected::new(
                    format!("{field}.values"),
                    format!("{} takes no values", expression.operator),
                ));
            }
            (other, _) => {
                return Err(Rejected::new(
                    format!("{field}.operator"),
                    format!("{other:?} is not one of In, NotIn, Exists, DoesNotExist"),
                ));
            }
        };
        requirements.push(Requirement {
            key: (&expression.key).into(),
            operator,
        });
    }
    Ok(Selector::new(requirements))
}
