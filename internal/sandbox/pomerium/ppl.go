package pomerium

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// errCriterion is a criterion that is not understood here. Pomerium does not take such a
// policy; here it lets nobody in.
var errCriterion = errors.New("unknown policy criterion")

// rules reads a text of the Policy Language: a rule, or an array of them.
// https://www.pomerium.com/docs/internals/ppl
func rules(ppl json.RawMessage) ([]map[string]map[string][]map[string]json.RawMessage, error) {
	type rule = map[string]map[string][]map[string]json.RawMessage
	text := bytes.TrimSpace(ppl)
	if len(text) > 0 && text[0] == '{' {
		var one rule
		err := json.Unmarshal(text, &one)
		return []rule{one}, err
	}
	var all []rule
	err := json.Unmarshal(text, &all)
	return all, err
}

// evaluate is whether a text lets a person in at a time: at least one rule allows it and none
// denies it.
func evaluate(ppl json.RawMessage, who Person, at time.Time) (bool, error) {
	all, err := rules(ppl)
	if err != nil {
		return false, err
	}
	allowed := false
	for _, rule := range all {
		for action, operators := range rule {
			if action != "allow" && action != "deny" {
				return false, fmt.Errorf("unknown action %s", action)
			}
			matches := false
			for operator, criteria := range operators {
				ok, err := combine(operator, criteria, who, at)
				if err != nil {
					return false, err
				}
				matches = matches || ok
			}
			if matches && action == "deny" {
				return false, nil
			}
			allowed = allowed || matches
		}
	}
	return allowed, nil
}

// combine joins criteria: "not" is that none of them holds, "nor" that not all of them do.
func combine(operator string, criteria []map[string]json.RawMessage, who Person, at time.Time) (bool, error) {
	every, any := true, false
	for _, c := range criteria {
		ok, err := holds(c, who, at)
		if err != nil {
			return false, err
		}
		every, any = every && ok, any || ok
	}
	switch operator {
	case "and":
		return every && len(criteria) > 0, nil
	case "or":
		return any, nil
	case "not":
		return !any, nil
	case "nor":
		return !every, nil
	}
	return false, fmt.Errorf("unknown operator %s", operator)
}

func holds(criterion map[string]json.RawMessage, who Person, at time.Time) (bool, error) {
	if len(criterion) != 1 {
		return false, errors.New("a criterion has one name")
	}
	for name, value := range criterion {
		switch name {
		case "accept", "authenticated_user":
			return true, nil
		case "reject":
			return false, nil
		case "email":
			return matches(value, who.Email)
		case "domain":
			_, domain, _ := strings.Cut(who.Email, "@")
			return matches(value, domain)
		case "user":
			return matches(value, who.Subject)
		case "groups":
			for _, g := range who.Groups {
				if ok, err := matches(value, g); ok || err != nil {
					return ok, err
				}
			}
			return false, nil
		case "date":
			return between(value, at)
		}
		return false, fmt.Errorf("%w: %s", errCriterion, name)
	}
	return false, nil
}

// matches is whether a text is as a string matcher wants it; a bare text is "is".
func matches(matcher json.RawMessage, text string) (bool, error) {
	var is string
	if json.Unmarshal(matcher, &is) == nil {
		return text == is, nil
	}
	var operators map[string]string
	if err := json.Unmarshal(matcher, &operators); err != nil {
		return false, err
	}
	ok := len(operators) > 0
	for operator, want := range operators {
		switch operator {
		case "is", "has":
			ok = ok && text == want
		case "not":
			ok = ok && text != want
		case "starts_with":
			ok = ok && strings.HasPrefix(text, want)
		case "ends_with":
			ok = ok && strings.HasSuffix(text, want)
		case "contains":
			ok = ok && strings.Contains(text, want)
		default:
			return false, fmt.Errorf("unknown operator %s", operator)
		}
	}
	return ok, nil
}

// between is whether a time is after and before what a date matcher says.
func between(matcher json.RawMessage, at time.Time) (bool, error) {
	var bounds map[string]string
	if err := json.Unmarshal(matcher, &bounds); err != nil {
		return false, err
	}
	for name, text := range bounds {
		bound, err := time.Parse(time.RFC3339, text)
		if err != nil {
			bound, err = time.Parse("2006-01-02T15:04:05", text)
		}
		switch {
		case err != nil:
			return false, err
		case name == "before" && !at.Before(bound), name == "after" && !at.After(bound):
			return false, nil
		case name != "before" && name != "after":
			return false, fmt.Errorf("unknown operator %s", name)
		}
	}
	return true, nil
}
