package ledger

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"time"

	"jitaccess/internal/access"
)

// termsForm is how the terms are kept under which a request was made. Lengths of time
// are in seconds.
type termsForm struct {
	Rule                 string               `json:"rule,omitempty"`
	Policy               string               `json:"policy,omitempty"`
	Requirements         []need               `json:"requirements,omitempty"`
	InOrder              bool                 `json:"in_order,omitempty"`
	MinReviewers         int                  `json:"min_reviewers,omitempty"`
	MaxReviewers         int                  `json:"max_reviewers,omitempty"`
	MaxDuration          int64                `json:"max_duration,omitempty"`
	DefaultDuration      int64                `json:"default_duration,omitempty"`
	RequestLife          int64                `json:"request_life,omitempty"`
	StartWithin          int64                `json:"start_within,omitempty"`
	MaxContinuous        int64                `json:"max_continuous,omitempty"`
	MaxRoles             int                  `json:"max_roles,omitempty"`
	Justification        []patternForm        `json:"justification,omitempty"`
	Hint                 string               `json:"hint,omitempty"`
	ApproverAccessLevels []string             `json:"approver_access_levels,omitempty"`
	InheritedOnly        bool                 `json:"inherited_only,omitempty"`
	Signature            bool                 `json:"signature,omitempty"`
	KeyAge               int64                `json:"key_age,omitempty"`
	KeyDeviceBound       bool                 `json:"key_device_bound,omitempty"`
	KeySelfEnrolled      bool                 `json:"key_self_enrolled,omitempty"`
	RemindAfter          int64                `json:"remind_after,omitempty"`
	Escalations          []escalationForm     `json:"escalations,omitempty"`
	Notify               []string             `json:"notify,omitempty"`
	NotifyOnly           bool                 `json:"notify_only,omitempty"`
	People               [][]access.Principal `json:"people,omitempty"`
	BreakGlass           bool                 `json:"break_glass,omitempty"`
	GlassWho             []string             `json:"glass_who,omitempty"`
	GlassReviewBy        []string             `json:"glass_review_by,omitempty"`
	GlassMaxDuration     int64                `json:"glass_max_duration,omitempty"`
}

type patternForm struct {
	Pattern string `json:"pattern"`
	Message string `json:"message,omitempty"`
}

type escalationForm struct {
	After int64    `json:"after"`
	To    []string `json:"to"`
}

func seconds(d time.Duration) int64  { return int64(d / time.Second) }
func duration(s int64) time.Duration { return time.Duration(s) * time.Second }

func termsTo(t access.Terms) termsForm {
	return termsForm{Rule: t.Rule, Policy: t.Policy, Requirements: access.Each(t.Requirements, needTo), InOrder: t.InOrder,
		MinReviewers: t.MinReviewers, MaxReviewers: t.MaxReviewers, MaxDuration: seconds(t.MaxDuration),
		DefaultDuration: seconds(t.DefaultDuration),
		RequestLife:     seconds(t.RequestLife), StartWithin: seconds(t.StartWithin), MaxContinuous: seconds(t.MaxContinuous),
		MaxRoles: t.MaxRoles,
		Justification: access.Each(t.Justification, func(j access.JustificationRule) patternForm {
			return patternForm{j.Pattern.String(), j.Message}
		}),
		Hint: t.Hint, ApproverAccessLevels: t.ApproverAccessLevels, InheritedOnly: t.InheritedOnly,
		Signature: t.Signature, KeyAge: seconds(t.Keys.Age), KeyDeviceBound: t.Keys.DeviceBound, KeySelfEnrolled: t.Keys.SelfEnrolled,
		RemindAfter: seconds(t.RemindAfter),
		Escalations: access.Each(t.Escalations, func(e access.Escalation) escalationForm { return escalationForm{seconds(e.After), e.To} }),
		Notify:      t.Notify, NotifyOnly: t.NotifyOnly, People: t.People,
		BreakGlass: t.BreakGlass, GlassWho: t.Glass.Who, GlassReviewBy: t.Glass.ReviewBy, GlassMaxDuration: seconds(t.Glass.MaxDuration)}
}

func termsFrom(f termsForm) (access.Terms, error) {
	t := access.Terms{Rule: f.Rule, Policy: f.Policy, Requirements: access.Each(f.Requirements, needFrom), InOrder: f.InOrder,
		MinReviewers: f.MinReviewers, MaxReviewers: f.MaxReviewers, MaxDuration: duration(f.MaxDuration),
		DefaultDuration: duration(f.DefaultDuration),
		RequestLife:     duration(f.RequestLife), StartWithin: duration(f.StartWithin), MaxContinuous: duration(f.MaxContinuous),
		MaxRoles: f.MaxRoles,
		Hint:     f.Hint, ApproverAccessLevels: f.ApproverAccessLevels, InheritedOnly: f.InheritedOnly,
		Signature: f.Signature, Keys: access.KeyTerms{Age: duration(f.KeyAge), DeviceBound: f.KeyDeviceBound, SelfEnrolled: f.KeySelfEnrolled},
		RemindAfter: duration(f.RemindAfter),
		Escalations: access.Each(f.Escalations, func(e escalationForm) access.Escalation {
			return access.Escalation{After: duration(e.After), To: e.To}
		}),
		Notify: f.Notify, NotifyOnly: f.NotifyOnly, People: f.People,
		BreakGlass: f.BreakGlass, Glass: access.GlassTerms{Who: f.GlassWho, ReviewBy: f.GlassReviewBy, MaxDuration: duration(f.GlassMaxDuration)}}
	size := 0
	for _, j := range f.Justification {
		parsed, err := syntax.Parse(j.Pattern, syntax.Perl)
		if err != nil {
			return t, err
		}
		if size += programSize(parsed); size > maxPrograms {
			return t, errors.New("its patterns are too large")
		}
		pattern, err := regexp.Compile(j.Pattern)
		if err != nil {
			return t, err
		}
		t.Justification = append(t.Justification, access.JustificationRule{Pattern: pattern, Message: j.Message})
	}
	return t, nil
}

// maxPrograms bounds how large the patterns of one request are together, as programs: in
// instructions, of some 40 bytes. A pattern of the settings has 1,000 characters, and makes
// 142,000 at the very most.
const maxPrograms = 200_000

// programSize is about how many instructions a pattern becomes. What is repeated is so in
// the program; the parser bounds what one pattern becomes.
func programSize(re *syntax.Regexp) int {
	size := 1
	if re.Op == syntax.OpLiteral {
		size = len(re.Rune)
	}
	for _, sub := range re.Sub {
		size += programSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return size
}

func needTo(r access.Requirement) need   { return need(r) }
func needFrom(n need) access.Requirement { return access.Requirement(n) }
