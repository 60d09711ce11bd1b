package callback_test

import (
	"strings"
	"testing"
	"time"

	"jitaccess/internal/callback"
)

// No metadata server is reached, also where private addresses are.
func TestNoMetadataServerIsPrivate(t *testing.T) {
	for _, address := range []string{"fd00:ec2::254", "fd00:ec2::23", "fd00:42::42", "fd20:ce::254", "100.100.100.200", "169.254.170.23", "168.63.129.16"} {
		if callback.MayConnect(address, callback.Reach{Private: true}) == nil {
			t.Errorf("%s is reached", address)
		}
	}
	for _, address := range []string{"fd00:42::43", "fd00:ec3::1", "10.0.0.1"} {
		if err := callback.MayConnect(address, callback.Reach{Private: true}); err != nil {
			t.Error(err)
		}
	}
}

// What went wrong on the way does not say where to: the path of an address may be a secret.
func TestFaultsDoNotTellTheAddress(t *testing.T) {
	s := callback.Sender{Client: callback.NewClient(nil, callback.Reach{}), Now: time.Now}
	for _, address := range []string{"https://127.0.0.1:9/hook/SECRET?token=SECRET", "https://[fe80::1]/SECRET", "https://hooks.example/SECRET\x7f"} {
		err := s.Send(t.Context(), callback.Message{ID: "x", URL: address, Body: []byte("{}"), Keys: [][]byte{[]byte("k")}})
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Error(err)
		}
	}
}
