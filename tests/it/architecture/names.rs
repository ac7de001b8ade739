//! A type name means one thing in the whole tree: whoever looks a name up finds one type.

use std::collections::BTreeMap;

use super::{SOURCES, code, places_of_tests, relative, sources};

/// Names that stand for several things, with the reason.
const SHARED: [(&str, &str); 4] = [
    ("Migration", "sea-orm-migration: each step has one of its own, known by the name of its file"),
    ("Model", "sea-orm: the row of an entity, known by the entity's module"),
    ("Relation", "sea-orm: the relations of an entity, known by the entity's module"),
    ("Object", "utoipa: its derive knows the schema of any JSON object by this name"),
];

#[test]
fn a_type_name_means_one_thing() {
    let all: Vec<_> = SOURCES.into_iter().flat_map(sources).collect();
    let tests = places_of_tests(&all);
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in all.iter().filter(|file| !file.ancestors().any(|place| tests.contains(place))) {
        for (line, name) in code::read(&std::fs::read_to_string(file).unwrap()).defined() {
            places.entry(name).or_default().push(format!("{}:{line}", relative(file)));
        }
    }
    assert_eq!(places["Journal"].len(), 1, "nothing is counted");
    places.retain(|_, places| places.len() > 1);
    for (name, _) in SHARED {
        assert!(places.remove(name).is_some(), "{name} is no exception any more");
    }
    assert!(places.is_empty(), "each of these names stands for several things: {places:#?}");
}

#[test]
fn types_are_known_by_their_definitions() {
    let check = |text: &str, expected: &[(usize, &str)]| {
        let found = code::read(text).defined();
        let found: Vec<(usize, &str)> = found.iter().map(|(line, name)| (*line, &**name)).collect();
        assert_eq!(found, expected, "{text}");
    };
    check("pub struct A<T>(T);\nenum B {}\npub(crate) trait C: D {}", &[(1, "A"), (2, "B"), (3, "C")]);
    check("pub(in crate::a) type E = F;\nimpl G for H {\n    type I = J;\n}", &[(1, "E")]);
    check(
        "fn a() {\n    struct K;\n}\n// struct L;\n#[cfg(test)]\nmod tests {\n    struct M;\n}",
        &[(2, "K")],
    );
    check("let structure = 1;\nstruct_of(x);\ntypes();", &[]);
}
