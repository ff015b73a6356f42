use super::*;

#[test]
fn everything_counted_is_rendered_under_its_name() {
    connection_opened();
    connection_closed("tested");
    refusal("tested");
    append_seconds(0.002);
    let text = render().expect("no other recorder in this process");
    for line in [
        "commonplace_connections_closed_total{reason=\"tested\"} 1",
        "commonplace_refusals_total{reason=\"tested\"} 1",
        "commonplace_append_seconds_bucket{le=\"0.0025\"}",
        "# HELP commonplace_connections WebSockets open now",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}
