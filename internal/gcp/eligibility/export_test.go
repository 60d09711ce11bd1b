package eligibility

// Parsed is how many conditions r remembers.
func Parsed(r *Reader) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.parsed)
}
