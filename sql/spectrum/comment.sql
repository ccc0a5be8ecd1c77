COMMENT ON VIEW :view_schema.:view IS :comment
