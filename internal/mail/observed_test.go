package mail_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/outbound"
)

// Observers hear of connecting and of each mail, and what came of it: by codes, and without names.
func TestMailServersAreObserved(t *testing.T) {
	refused := map[smtptest.Step]*smtp.SMTPError{smtptest.AtMail: {Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "canary"}}
	for _, test := range []struct {
		name   string
		refuse map[smtptest.Step]*smtp.SMTPError
		closed bool
		want   []string
	}{
		{"fine", nil, false, []string{"smtp connect 200", "smtp send 200"}},
		{"refused", refused, false, []string{"smtp connect 200", "smtp send 550"}},
		{"down", nil, true, []string{"smtp connect 0"}},
	} {
		s := smtptest.Start(t, withUser(smtptest.Options{Refuse: test.refuse}))
		c := config(s.Host, s.Port, s.Roots)
		c.Sleep = func(context.Context, time.Duration) error { return context.Canceled } // it is not tried again
		if test.closed {
			c.Port = 1
		}
		var heard []string
		ctx := outbound.WithObserver(t.Context(), func(_ context.Context, api, what string) func(int) {
			return func(status int) { heard = append(heard, fmt.Sprint(api, " ", what, " ", status)) }
		})
		mailer(t, c).Notify(ctx, review())
		if !slices.Equal(heard, test.want) {
			t.Errorf("%s: heard %q, want %q", test.name, heard, test.want)
		}
	}
}
