//! What a client may ask for at most.

mod support;

use support::{ask, ours};

#[test]
fn a_key_has_a_thousand_parts_at_most() {
    let ours = ours();
    let deep = |parts| format!("/v2/keys{}", "/d".repeat(parts));
    assert_eq!(ask(&ours.address, "PUT", &deep(1000), Some("value=1")).status, 201);
    let all = ask(&ours.address, "GET", "/v2/keys?recursive=true", None);
    assert_eq!((all.status, all.body.matches("\"nodes\"").count()), (200, 1000));
    let refused = ask(&ours.address, "PUT", &deep(1001), Some("value=1"));
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("\"errorCode\":210") && refused.body.contains("at most 1000 parts"));
    assert_eq!(ask(&ours.address, "DELETE", "/v2/keys/d?recursive=true", None).status, 200);
}

#[test]
fn a_form_has_ten_megabytes_at_most() {
    let ours = ours();
    let form = |bytes: usize| format!("value={}", "x".repeat(bytes - "value=".len()));
    let most = ask(&ours.address, "PUT", "/v2/keys/k", Some(&form(10 << 20)));
    assert_eq!(most.status, 201);
    let refused = ask(&ours.address, "PUT", "/v2/keys/k", Some(&form((10 << 20) + 1)));
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("http: POST too large"), "{}", refused.body);
}
