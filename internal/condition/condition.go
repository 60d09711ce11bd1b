// Package condition knows the text of IAM conditions: the markers that make a
// binding an eligibility, the time window of a grant, and the resource conditions
// that stand beside both. It parses them as CEL, prints them in one canonical form
// and never joins strings that it has not parsed.
package condition
