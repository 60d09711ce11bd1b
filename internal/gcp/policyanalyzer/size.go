package policyanalyzer

// What an element takes in memory beside its texts, roughly.
const (
	textBytes    = 16
	foundBytes   = 250
	warningBytes = 500
)

// size is what an analysis takes in memory, in bytes; texts that are shared count each time.
func (a analysis) size() int {
	n := warningBytes * len(a.warnings)
	for _, f := range a.found {
		n += foundBytes + len(f.node) + len(f.binding.Role)
		if c := f.binding.Condition; c != nil {
			n += len(c.Title) + len(c.Description) + len(c.Expression)
		}
		for _, texts := range [][]string{f.people, f.indirect, f.collectives} {
			for _, t := range texts {
				n += textBytes + len(t)
			}
		}
	}
	return n
}
