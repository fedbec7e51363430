"""Side-by-side measurements of cvexp against the course's loop and its peers. Never imported by cvexp."""
