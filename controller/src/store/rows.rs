//! Many rows in one statement.

use sqlx::{AnyConnection, AssertSqlSafe};

use super::StoreError;

/// A value of a column.
pub(super) enum Value {
    Text(String),
    Number(i64),
    Bytes(Vec<u8>),
}

/// Rows of one statement: SQLite takes 32,766 values, PostgreSQL 65,535.
const ROWS: usize = 400;

/// Inserts rows, or changes those with the same first `keys` columns. No key may come twice.
pub(super) async fn upsert(
    connection: &mut AnyConnection,
    table: &str,
    columns: &[&str],
    keys: usize,
    rows: Vec<Vec<Value>>,
) -> Result<(), StoreError> {
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let some: Vec<Vec<Value>> = rows.by_ref().take(ROWS).collect();
        let mut text = format!("INSERT INTO {table} ({}) VALUES ", columns.join(", "));
        let mut number = 0;
        for index in 0..some.len() {
            text.push_str(if index == 0 { "(" } else { ", (" });
            for column in 0..columns.len() {
                number += 1;
                text.push_str(&format!("{}${number}", if column == 0 { "" } else { ", " }));
            }
            text.push(')');
        }
        let sets: Vec<String> =
            columns[keys..].iter().map(|name| format!("{name} = excluded.{name}")).collect();
        text.push_str(&format!(
            " ON CONFLICT ({}) DO UPDATE SET {}",
            columns[..keys].join(", "),
            sets.join(", ")
        ));
        let mut query = sqlx::query(AssertSqlSafe(text));
        for value in some.into_iter().flatten() {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
