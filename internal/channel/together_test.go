package channel_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/callback"
	"jitaccess/internal/callback/callbacktest"
	"jitaccess/internal/channel"
	"jitaccess/internal/channel/googlechat"
	"jitaccess/internal/channel/slack"
	"jitaccess/internal/channel/teams"
	"jitaccess/internal/channel/webhook"
	"jitaccess/internal/notice"
	"jitaccess/internal/words"
)

// hanging answers nothing.
type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// all are the channels of this package, with a client.
func all(client *http.Client) notice.Channels {
	with := func(secret string) channel.Config {
		return channel.Config{Read: kept(secret), Writer: notice.Writer{Language: words.English()}, Client: client, Now: time.Now,
			Sleep: func(ctx context.Context, d time.Duration) error {
				select {
				case <-time.After(d):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}}
	}
	key := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	return notice.Channels{slack.New(with("xoxb-CANARY"), "#access"),
		googlechat.New(with("https://chat.googleapis.com/v1/spaces/AAAA/messages?key=CANARY&token=CANARY")),
		teams.New(with("https://teams.example.com/workflows/w/triggers/manual/paths/invoke?sig=CANARY")),
		webhook.New(with(webhook.Kept("https://one.example.com/CANARY,https://two.example.com/CANARY", key+","+key)), false)}
}

// A notice on all channels takes no more time of an action than the slowest of them may: each hangs
// here, for 5 or 10 seconds of its own, and 60 in a row.
func TestAllChannelsTakeNoMoreTimeThanTheSlowest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		receipts := all(&http.Client{Transport: hanging{}}).Notify(ctx, asked(ben, carl))
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("all took %s, the slowest 10s", took)
		}
		if failed := receipts.Failed(); len(failed) != 6 { // Slack: two people and a channel
			t.Errorf("%v", receipts)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		all(&http.Client{Transport: hanging{}}).Notify(ctx, asked(ben, carl))
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("all took %s of 3s", took)
		}
	})
}

// DNS that changes to an address of this machine, of its network or of a metadata server changes nothing for
// any of them.
func TestNamesThatLeadElsewhereLater(t *testing.T) {
	for _, later := range []string{"127.0.0.1", "10.0.0.7", "169.254.169.254", "fd00:ec2::254"} {
		names := callbacktest.New("93.184.216.34", later)
		found, err := names.Net().LookupNetIP(t.Context(), "ip", "slack.com")
		if err != nil || !found[0].Unmap().IsGlobalUnicast() {
			t.Fatal(found, err)
		}
		names.Turn()
		failed := all(callback.NewClient(names.Net(), callback.Reach{})).Notify(within(t), asked(ben)).Failed()
		told := map[string]bool{}
		for _, r := range failed {
			if told[r.Channel] = true; channel.CodeOf(r.Err) != channel.NotPublic && !strings.Contains(r.Err.Error(), "not a public address") {
				t.Errorf("%s, %s: %v", r.Channel, later, r.Err)
			}
			secretless(t, r.Channel, r.Err.Error())
		}
		if len(told) != 4 {
			t.Errorf("%s: %v", later, failed)
		}
	}
}
