//! Rows are read as they were written; faults are named.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use twinhub_domain::{Json, Object};

use super::columns::{ColumnShape, ColumnUse, DEVICES, Table};
use super::{Format, RowReader, RowWriter, SectionKeys};

/// The rows of a body that comes in pieces of `size` bytes, one in a line; or what is wrong with all of it.
fn read(body: &[u8], format: Option<Format>, first_line: Option<u64>, size: usize) -> String {
    let mut reader = RowReader::new(&DEVICES, format, first_line);
    let mut shown = Vec::new();
    let mut pieces: Vec<Option<&[u8]>> = body.chunks(size).map(Some).collect();
    pieces.push(None);
    for piece in pieces {
        match piece {
            Some(piece) => reader.push(piece),
            None => reader.end(),
        }
        loop {
            match reader.next_row() {
                Ok(Some(row)) => shown.push(match row.fields {
                    Ok(fields) => format!("{}: {}", row.line, Json::Object(fields)),
                    Err(fault) => {
                        format!("{}: {} {}", row.line, fault.field.as_deref().unwrap_or("-"), fault.code)
                    }
                }),
                Ok(None) => break,
                Err(fault) => return fault.to_string(),
            }
        }
    }
    shown.join("\n")
}

fn check(body: &[u8], expected: &[&str]) {
    for size in [1, 5, 4096] {
        assert_eq!(read(body, None, None, size), expected.join("\n"), "in pieces of {size}");
    }
}

#[test]
fn says_itself_what_it_is() {
    check(b"{\"name\": \"P\"}\n", &[r#"1: {"name":"P"}"#]);
    check(b"\n  {\"name\": \"P\"}", &[r#"2: {"name":"P"}"#]);
    check(b"name,tags.floor\nP,2", &[r#"2: {"name":"P","tags":{"floor":2}}"#]);
    check(
        b"\xef\xbb\xbfname;tags.floor;description\r\nP;\"2;3\";a,b\r\n",
        &[r#"2: {"description":"a,b","name":"P","tags":{"floor":"2;3"}}"#],
    );
    check(b"name\ttype\nP,Q\tpump\n", &[r#"2: {"name":"P,Q","type":"pump"}"#]);
    check(b"name\nP", &[r#"2: {"name":"P"}"#]);
    check(b"", &[]);
    check(b"name,type\n", &[]);
}

#[test]
fn excel_tells_its_separator() {
    let row = r#"3: {"name":"P","tags":{"floor":2}}"#;
    for first in ["sep=;", "SEP=;", "\"sep=;\"", " sep=;"] {
        check(format!("{first}\r\nname;tags.floor\r\nP;2\r\n").as_bytes(), &[row]);
    }
    check(b"\xef\xbb\xbfsep=;\nname;tags.floor\nP;2\n", &[row]);
    check(b"sep=|\nname|tags.floor\nP|2\n", &[row]);
    check(b"sep=\t\nname\ttags.floor\nP\t2\n", &[row]);
    check(b"\nsep=,\nname,tags.floor\nP,2\n", &[&row.replace("3:", "4:")]);
    check(b"sep=;\n", &[]);
    assert!(read(b"sep=ab\nname\nP\n", None, None, 99).contains("there is no column `sep=ab`"));
}

#[test]
fn a_decimal_comma_is_a_number_among_numbers() {
    check(
        b"name;desired.t;tags.x;description\nP;21,50;1,5;1,5\nQ;-3;a;\nR;0,25;1,5;\nS;;2,5;\n",
        &[
            r#"2: {"description":"1,5","desired":{"t":21.50},"name":"P","tags":{"x":1.5}}"#,
            r#"3: {"desired":{"t":-3},"name":"Q","tags":{"x":"a"}}"#,
            r#"4: {"desired":{"t":0.25},"name":"R","tags":{"x":"1,5"}}"#,
            r#"5: {"name":"S","tags":{"x":"2,5"}}"#,
        ],
    );
    // Where commas part cells, it stands in quotes and is a text.
    check(b"name,desired.t\nP,\"21,5\"\n", &[r#"2: {"desired":{"t":"21,5"},"name":"P"}"#]);
    let mut reader = RowReader::new(&DEVICES, None, None);
    reader.push(b"name;desired.t\nP;21,50\nQ;7\nR;1,5\n");
    while reader.next_row().unwrap().is_some() {}
    let commas: Vec<_> = reader.decimal_commas();
    assert_eq!(commas.len(), 1);
    assert_eq!((&*commas[0].column, commas[0].cells), ("desired.t", 2));
    assert_eq!((&*commas[0].example, &*commas[0].read_as), ("21,50", "21.50"));
}

#[test]
fn columns_are_read_as_what_they_are() {
    check(
        b"name,serial_number,claimed,configuration.interval,settings.heartbeat,desired.power,schedule,version,tags\n\
          007,0012,TRUE,1.50,90,on,\"[{\"\"cron\"\": \"\"0 7 * * *\"\"}]\",17,{}\n",
        &[r#"2: {"claimed":true,"configuration":{"interval":1.50},"desired":{"power":"on"},"name":"007","schedule":[{"cron":"0 7 * * *"}],"serial_number":"0012","settings":{"heartbeat":90},"tags":{}}"#],
    );
    check(b"{\"name\":\"P\",\"version\":3,\"status\":\"online\"}\n", &[r#"1: {"name":"P"}"#]);
    check(b"name,tags.a.b,\"tags.\"\" \"\"\"\nP,1,2\n", &[r#"2: {"name":"P","tags":{" ":2,"a.b":1}}"#]);
}

#[test]
fn names_may_say_that_there_is_none() {
    check(
        b"name,group_id,template\nP,hall,null\nQ,,\nR,007,\"\"\"null\"\"\"\n",
        &[
            r#"2: {"group_id":"hall","name":"P","template":null}"#,
            r#"3: {"name":"Q"}"#,
            r#"4: {"group_id":"007","name":"R","template":"null"}"#,
        ],
    );
}

#[test]
fn names_the_line_that_is_wrong() {
    check(
        b"name,claimed,schedule,tags.a\nP\nQ,,,,\nR,yes,,\nS,,[,\nT,,,{\n\"U\nV,,,1\n",
        &[
            "2: - bad_line",
            "3: - bad_line",
            "4: claimed bad_field",
            "5: schedule bad_field",
            "6: tags.a bad_field",
            "7: - bad_quotes",
            r#"8: {"name":"V","tags":{"a":1}}"#,
        ],
    );
    check(
        b"{}\n[]\n5\n{\"a\"\n{\"a\":1e999}\n\xff\n",
        &[
            "1: {}",
            "2: - not_an_object",
            "3: - not_an_object",
            "4: - not_json",
            "5: - bad_json",
            "6: - not_utf8",
        ],
    );
}

#[test]
fn cells_and_columns_are_counted() {
    let mut reader = RowReader::new(&DEVICES, None, None);
    reader.push(b"name,type\nP\nQ,R,S\n");
    let shown: Vec<_> =
        std::iter::from_fn(|| reader.next_row().unwrap()).map(|row| row.fields.unwrap_err().error).collect();
    assert_eq!(shown, ["1 cell, and 2 columns", "3 cells, and 2 columns"]);
}

#[test]
fn a_quote_that_is_not_closed_costs_no_good_lines() {
    check(
        b"device_id,name,type\np2,\"Pump 2,pump\np3,V,valve\np4,Valve 4\",valve,x\np5,\"V\n5\",valve\n",
        &[
            "2: - bad_quotes",
            r#"3: {"device_id":"p3","name":"V","type":"valve"}"#,
            "4: - bad_line",
            r#"5: {"device_id":"p5","name":"V\n5","type":"valve"}"#,
        ],
    );
}

#[test]
fn names_what_is_wrong_with_all_of_it() {
    let refused = |body: &[u8], begin: &str| {
        for size in [1, 4096] {
            let shown = read(body, None, None, size);
            assert!(shown.starts_with(begin), "{shown} for {begin}");
        }
    };
    refused(
        b"name,colour\n",
        "line 1, column 2: there is no column `colour` among devices: device_id, serial_number,",
    );
    refused(b"\nname,type,name\n", "line 2, column 3: `name` is the name of column 1 already");
    refused(b"tags.a,tags\n", "line 1, column 2: column 1 has keys of `tags` as well");
    refused(b"name,\n", "line 1, column 2: a column has no name");
    refused(b"name,tags.\"\n", "line 1, column 2: `tags.\"`: not JSON: EOF while parsing a string");
    refused(b"n\xe4me\n", "line 1, column 2: not UTF-8: the byte 0xE4");
    refused(b"\xff\xfen\0a\0", "line 1: this is UTF-16");
    refused(b"PK\x03\x04\n", "line 1: this is a spreadsheet");
    refused(b"[{\"name\": \"P\"}]", "line 1: this is one JSON array");
}

#[test]
fn a_part_of_a_file_counts_on() {
    assert_eq!(read(b"name\nP\n", None, Some(2_002), 4096), r#"2002: {"name":"P"}"#);
    assert_eq!(read(b"{}\n\n{}\n", None, Some(2_001), 4096), "2001: {}\n2003: {}");
}

#[test]
fn rows_are_counted_by_the_lines_of_the_file() {
    let mut reader = RowReader::new(&DEVICES, None, None);
    reader.push(b"\nname\n\nP\n\"Q\nR\"\n\n\"S\"T\nU");
    reader.end();
    let mut lines = Vec::new();
    while let Some(row) = reader.next_row().unwrap() {
        lines.push(row.line);
    }
    assert_eq!(lines, [4, 5, 8, 9]);
}

#[test]
fn what_comes_up_too_late_is_not_left_out_silently() {
    let row = |text: &str| twinhub_domain::payload::object(text.as_bytes()).unwrap();
    let mut keys = SectionKeys::default();
    keys.check(&DEVICES, &row(r#"{"tags": {"a": 1}}"#));
    let writer = RowWriter::new(&DEVICES, Format::Csv, false, &keys);
    assert!(writer.row(&row(r#"{"tags": {"a": 2}}"#)).is_ok());
    let error = writer.row(&row(r#"{"tags": {"b": 2}}"#)).unwrap_err().to_string();
    assert!(error.starts_with("`tags.b` was not there at first"), "{error}");
}

#[test]
fn very_many_keys_stand_in_one_column() {
    let tags: Object = (0..600).map(|key| (format!("k{key}"), Json::from(key))).collect();
    let row: Object = [("tags", Json::from(tags))].into_iter().collect();
    let body = written(&DEVICES, Format::Csv, std::slice::from_ref(&row));
    assert!(body.starts_with(b"device_id,serial_number,name,type,"));
    assert_eq!(read(&body, None, None, 4096), format!("2: {}", Json::Object(row)));
}

fn written(table: &'static Table, format: Format, rows: &[Object]) -> Vec<u8> {
    let mut keys = SectionKeys::default();
    rows.iter().for_each(|row| keys.check(table, row));
    let writer = RowWriter::new(table, format, true, &keys);
    let mut body = writer.header();
    for row in rows {
        body.extend(writer.row(row).unwrap());
    }
    body
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9 .,;\"'\\[{}\\]\r\n\t=+@-]{0,8}",
        "'{0,2}[=+@\t\r-][a-z0-9']{0,3}",
        "\\PC{0,6}",
        "-?[0-9]{1,3}(\\.[0-9]{1,2})?",
        "true|FALSE|null"
    ]
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::from),
        "-?(0|[1-9][0-9]{0,4})(\\.[0-9]{1,9})?(e[0-9])?".prop_map(|digits| digits.parse().unwrap()),
        text().prop_map(Json::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(prop_oneof![inner.clone(), Just(Json::Null)], 0..3)
                .prop_map(|items| Json::Array(items.into())),
            btree_map(text(), inner, 0..3).prop_map(|object| Json::Object(object.into_iter().collect())),
        ]
    })
}

/// A row as an export makes one: what is empty is not there.
fn row() -> impl Strategy<Value = Object> {
    let fields = DEVICES.columns.iter().filter(|column| column.use_of == ColumnUse::Both);
    let fields: Vec<BoxedStrategy<Option<(&str, Json)>>> = fields
        .map(|column| {
            let value = match column.shape {
                ColumnShape::Text => {
                    text().prop_filter("it is said", |text| !text.is_empty()).prop_map(Json::from).boxed()
                }
                ColumnShape::Name => prop_oneof![text().prop_map(Json::from), Just(Json::Null)].boxed(),
                ColumnShape::Flag => any::<bool>().prop_map(Json::Bool).boxed(),
                ColumnShape::Value => value().boxed(),
                ColumnShape::Json => vec(value(), 1..3).prop_map(|items| Json::Array(items.into())).boxed(),
                ColumnShape::Section => btree_map(text(), value(), 1..4)
                    .prop_map(|section| Json::Object(section.into_iter().collect()))
                    .boxed(),
            };
            proptest::option::of(value.prop_map(|value| (column.name, value))).boxed()
        })
        .collect();
    fields.prop_map(|fields| fields.into_iter().flatten().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_as_the_same(rows in vec(row(), 1..5), size in 1_usize..200) {
        for format in [Format::Jsonl, Format::Csv] {
            let body = written(&DEVICES, format, &rows);
            let mut reader = RowReader::new(&DEVICES, Some(format), None);
            let mut back = Vec::new();
            for piece in body.chunks(size) {
                reader.push(piece);
                while let Some(row) = reader.next_row().unwrap() {
                    back.push(row.fields.unwrap());
                }
            }
            reader.end();
            while let Some(row) = reader.next_row().unwrap() {
                back.push(row.fields.unwrap());
            }
            prop_assert_eq!(&back, &rows, "{}", String::from_utf8_lossy(&body));
        }
    }

    /// A device's text is never a formula in a spreadsheet.
    #[test]
    fn no_cell_is_a_formula(rows in vec(row(), 1..5)) {
        let body = written(&DEVICES, Format::Csv, &rows);
        for record in csv::Reader::from_reader(&*body).into_records() {
            for cell in &record.unwrap() {
                let is_number = cell.parse::<f64>().is_ok();
                prop_assert!(is_number || !cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
            }
        }
    }

    /// Every line is a row or a fault, however the body is cut into pieces.
    #[test]
    fn any_text_is_read_or_refused(body in vec(prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), any::<u8>()], 0..80), size in 1_usize..20) {
        let body = [&b"name,tags.a\n"[..], &body].concat();
        for format in [Format::Jsonl, Format::Csv] {
            prop_assert_eq!(read(&body, Some(format), None, size), read(&body, Some(format), None, 4096));
        }
    }

    /// Another reader reads the same.
    #[test]
    fn cells_are_cut_as_others_cut_them(cells in vec(vec(text(), 2..4), 1..4)) {
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        cells.iter().for_each(|line| writer.write_record(line).unwrap());
        let body = writer.into_inner().unwrap();
        let mut records = super::records::Records::new(Format::Csv, b',', 1);
        records.push(&body);
        records.end();
        let ours: Vec<_> = std::iter::from_fn(|| records.next()).map(|record| record.cells.unwrap()).collect();
        let blank = |line: &Vec<String>| line.iter().all(|cell| cell.trim().is_empty()) && line.len() < 2;
        let theirs: Vec<_> = cells.into_iter().filter(|line| !blank(line)).collect();
        prop_assert_eq!(ours, theirs);
    }
}
