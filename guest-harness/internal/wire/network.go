package wire

import (
	"fmt"
	"net/netip"
)

const (
	// minMTU is the least that IPv6 asks for (RFC 8200, section 5).
	minMTU = 1280
	maxMTU = 65535
	// maxOfEach bounds the lists of a network.
	maxOfEach = 8
)

// Network is how the guest's one network device is set up.
type Network struct {
	MTU         int
	Addresses   []netip.Prefix
	Gateways    []netip.Addr
	Nameservers []netip.Addr
}

func (o *object) network(raw []byte) *Network {
	inner := parseObject(raw)
	n := &Network{
		MTU:         int(inner.integer("mtu", minMTU, maxMTU)),
		Addresses:   parsed(inner, "addresses", netip.ParsePrefix),
		Gateways:    parsed(inner, "gateways", netip.ParseAddr),
		Nameservers: parsed(inner, "nameservers", netip.ParseAddr),
	}
	if failure := inner.finish("network"); failure != nil {
		o.fail("%s", failure.Message)
	}
	return n
}

// parsed is a list of texts, each read by parse; a zone has no place in one.
func parsed[T fmt.Stringer](o *object, name string, parse func(string) (T, error)) []T {
	texts := need[[]string](o, name, "a list of texts")
	if o.err == nil && len(texts) > maxOfEach {
		o.fail("%s has more than %d elements", name, maxOfEach)
	}
	var list []T
	for _, text := range texts {
		one, err := parse(text)
		if err != nil || one.String() != text {
			o.fail("%s holds %q", name, text)
			return nil
		}
		list = append(list, one)
	}
	return list
}
