// Package diff says which lines of a text have changed.
package diff

import (
	"fmt"
	"slices"
)

// Kind is what became of a line.
type Kind int

// Kinds of lines. Omitted is a line of ours that says how many were left out.
const (
	Kept Kind = iota
	Added
	Removed
	Omitted
)

// Sign is the sign at the beginning of a line, as in other diffs.
func (k Kind) Sign() string { return [...]string{" ", "+", "-", "…"}[k] }

// Word is what is read to who sees no sign; empty for lines that were kept.
func (k Kind) Word() string { return [...]string{"", "added", "removed", "left out"}[k] }

// Line is a line of a text, and what became of it.
type Line struct {
	Kind Kind
	Text string
}

// bound is how many pairs of lines are compared at most: beyond that, what differs is shown as
// removed and added as a whole, since the time that a comparison takes grows with their number.
const bound = 1 << 20

// Lines compares two texts. Lines that both have in the same order were kept; where either may be
// said first, what was removed comes before what was added.
func Lines(before, after []string) []Line {
	var head, tail []Line
	for len(before) > 0 && len(after) > 0 && before[0] == after[0] {
		head = append(head, Line{Kept, before[0]})
		before, after = before[1:], after[1:]
	}
	for len(before) > 0 && len(after) > 0 && before[len(before)-1] == after[len(after)-1] {
		tail = append(tail, Line{Kept, before[len(before)-1]})
		before, after = before[:len(before)-1], after[:len(after)-1]
	}
	slices.Reverse(tail)
	return slices.Concat(head, middle(before, after), tail)
}

// middle compares by the longest sequence of lines that both have.
func middle(before, after []string) []Line {
	var lines []Line
	if len(before)*len(after) <= bound {
		// common[i][j] is how long that is of before[i:] and after[j:].
		common := make([][]int32, len(before)+1)
		for i := range common {
			common[i] = make([]int32, len(after)+1)
		}
		for i := len(before) - 1; i >= 0; i-- {
			for j := len(after) - 1; j >= 0; j-- {
				if before[i] == after[j] {
					common[i][j] = common[i+1][j+1] + 1
				} else {
					common[i][j] = max(common[i+1][j], common[i][j+1])
				}
			}
		}
		i, j := 0, 0
		for i < len(before) && j < len(after) {
			switch {
			case before[i] == after[j]:
				lines = append(lines, Line{Kept, before[i]})
				i, j = i+1, j+1
			case common[i+1][j] >= common[i][j+1]:
				lines = append(lines, Line{Removed, before[i]})
				i++
			default:
				lines = append(lines, Line{Added, after[j]})
				j++
			}
		}
		before, after = before[i:], after[j:]
	}
	for _, text := range before {
		lines = append(lines, Line{Removed, text})
	}
	for _, text := range after {
		lines = append(lines, Line{Added, text})
	}
	return lines
}

// Count is how many lines were added and removed.
func Count(lines []Line) (added, removed int) {
	for _, l := range lines {
		switch l.Kind {
		case Added:
			added++
		case Removed:
			removed++
		}
	}
	return added, removed
}

// Short leaves out what was kept further than around lines from a change, and what comes after
// most lines.
func Short(lines []Line, around, most int) []Line {
	near := make([]bool, len(lines))
	for i, l := range lines {
		if l.Kind == Kept {
			continue
		}
		for k := max(0, i-around); k <= min(len(lines)-1, i+around); k++ {
			near[k] = true
		}
	}
	var short []Line
	for i := 0; i < len(lines); {
		if near[i] && len(short) < most {
			short = append(short, lines[i])
			i++
			continue
		}
		from := i
		for i < len(lines) && (!near[i] || len(short) >= most) {
			i++
		}
		short = append(short, Line{Omitted, omitted(lines[from:i])})
	}
	return short
}

func omitted(lines []Line) string {
	added, removed := Count(lines)
	kept := len(lines) - added - removed
	text := fmt.Sprintf("%d lines that are as before", kept)
	if kept == 1 {
		text = "a line that is as before"
	}
	if added+removed > 0 {
		text = fmt.Sprintf("%d more lines, %d of them added and %d removed", len(lines), added, removed)
	}
	return text
}
