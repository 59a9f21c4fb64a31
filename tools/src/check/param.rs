//! Finds the mistakes in the declaration of a parameter.
//!
//! Bound: a declaration is nested at most [`MAX_DEPTH`] deep, so that whatever follows it ends.

use super::{MAX_DEPTH, MAX_ITEMS, SpecError, check_name};
use crate::args::check_value;
use crate::line;
use crate::param::{Param, ParamKind};

/// The mistakes in a parameter, or in what is nested in one, which stands at `depth` counted from 1.
pub(super) fn check_param(key: &str, param: &Param, depth: usize, errors: &mut Vec<SpecError>) {
    let before = errors.len();
    let mut wrong =
        |field: &str, message: &str| errors.push(SpecError::new(format!("{key}.{field}"), message));
    let is_string = param.kind == ParamKind::String;
    let is_number = matches!(param.kind, ParamKind::Integer | ParamKind::Number);
    if let Some(choices) = &param.choices {
        if !is_string {
            wrong("enum", "is only for a string: leave `type` out, or use `min` and `max`");
        }
        if choices.is_empty() {
            wrong("enum", "is empty: nothing would be allowed");
        }
        if choices.iter().any(|choice| choice.trim() != choice || choice.is_empty()) {
            wrong("enum", "has a word that is empty, or begins or ends with a space");
        }
        if choices.iter().any(|choice| choice.chars().any(char::is_control)) {
            wrong("enum", "has a word with a control character");
        }
        if (1..choices.len()).any(|i| choices[..i].contains(&choices[i])) {
            wrong("enum", "has a word twice");
        }
        if param.max_length.is_some() {
            wrong("max_length", "says nothing beside `enum`: take it out");
        }
    }
    for (field, bound) in [("min", param.min), ("max", param.max)] {
        match bound {
            Some(_) if !is_number => wrong(field, "is only for `integer` and `number`"),
            Some(bound) if !bound.is_finite() => wrong(field, "must be a finite number"),
            _ => {}
        }
    }
    if let (Some(min), Some(max)) = (param.min, param.max)
        && min > max
    {
        wrong("min", &format!("is {min}, which is more than `max`, {max}"));
    }
    if param.unit.is_some() && !is_number {
        wrong("unit", "is only for `integer` and `number`");
    }
    let is_free = is_string && param.choices.is_none();
    if param.format.is_some() && !is_free {
        wrong("format", "is only for a string without `enum`");
    }
    if param.verbatim && (!is_free || param.format.is_some()) {
        wrong("verbatim", "is only for a string without `enum` and `format`");
    }
    if let Some(max) = param.max_length {
        if !is_string {
            wrong("max_length", "is only for a string");
        } else if !(1..=line::MAX_LINE_BYTES).contains(&max) {
            wrong("max_length", &format!("must be 1 to {}", line::MAX_LINE_BYTES));
        }
    }
    if param.optional && param.default.is_some() {
        wrong("optional", "says nothing beside `default`: take it out");
    }
    check_nested(key, param, depth, errors);
    if let Some(default) = &param.default
        && errors.len() == before
        && let Err(wrong) = check_value("it", param, default)
    {
        let message = format!("does not pass: {wrong}");
        errors.push(SpecError::new(format!("{key}.default"), message));
    }
}

/// What only lists and objects have: items, members, and how many.
fn check_nested(key: &str, param: &Param, depth: usize, errors: &mut Vec<SpecError>) {
    let (is_list, is_object) = (param.kind == ParamKind::Array, param.kind == ParamKind::Object);
    let mut wrong =
        |field: &str, message: &str| errors.push(SpecError::new(format!("{key}.{field}"), message));
    if depth > MAX_DEPTH {
        return wrong("type", &format!("is nested more than {MAX_DEPTH} deep"));
    }
    match &param.items {
        None if is_list => {
            wrong("items", "is missing: say what an item is, as `{ type = \"integer\" }`")
        }
        Some(_) if !is_list => wrong("items", "is only for an `array`"),
        Some(item) if item.optional || item.default.is_some() => {
            wrong(
                "items",
                "can be neither `optional` nor have a `default`: an item is there or not",
            );
        }
        _ => {}
    }
    match param.max_items {
        Some(_) if !is_list => wrong("max_items", "is only for an `array`"),
        Some(most) if !(1..=MAX_ITEMS).contains(&most) => {
            wrong("max_items", &format!("must be 1 to {MAX_ITEMS}"));
        }
        _ => {}
    }
    match param.properties.is_empty() {
        true if is_object => wrong("properties", "is missing: say which members the object has"),
        false if !is_object => wrong("properties", "is only for an `object`"),
        _ => {}
    }
    if let Some(item) = &param.items {
        check_param(&format!("{key}.items"), item, depth + 1, errors);
    }
    for (name, member) in &param.properties {
        let key = format!("{key}.properties.{name}");
        check_name(&key, name, errors);
        check_param(&key, member, depth + 1, errors);
    }
}
