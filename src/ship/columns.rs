//! Sends rows as one array per column, one statement for all of them.

/// Runs `$sql` with one array parameter per column of `$rows` (anything with `is_empty` and `iter`), then `$more` single
/// parameters; answers the statement's rows, none without a statement when there is nothing to send.
///
/// The statement is unnamed: nothing stays behind in the session. Several that do not need each other's answers are
/// joined, `biased`: they go out one behind the other, without a round trip between, and of an error all of them report
/// the first is the cause.
macro_rules! send {
    (
        $transaction:expr, $sql:expr, $rows:expr, |$row:pat_param| { $($kind:ident: $value:expr),+ $(,)? }
        $(, $more_kind:ident: $more:expr)*
    ) => {
        if $rows.is_empty() {
            Ok(Vec::new())
        } else {
            $transaction
                .query_typed(
                    include_str!(concat!("sql/", $sql, ".sql")),
                    &[
                        $((
                            &{
                                #[allow(unused_variables, reason = "a column needs a part of the row only")]
                                let column = $rows.iter().map(|$row| $value).collect::<Vec<_>>();
                                column
                            } as &(dyn tokio_postgres::types::ToSql + Sync),
                            tokio_postgres::types::Type::$kind,
                        ),)+
                        $((
                            &$more as &(dyn tokio_postgres::types::ToSql + Sync),
                            tokio_postgres::types::Type::$more_kind,
                        ),)*
                    ],
                )
                .await
        }
    };
}

pub(super) use send;
