"""The roles of a robot in the demo home."""

# What a robot is there for, and the forms of the questions that it is asked (`Query.form`).
ROLES = {
    "finder": ("where_thing",),
    "guard": ("who_in", "who_took", "who_put", "who_switched", "what_put"),
    "carer": ("what_did", "what_carries"),
    "wardrobe": ("wears",),
    "steward": ("state_open", "state_on"),
}
