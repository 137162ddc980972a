"""The contestants, by the names they have in reports and in ONLY."""

from contestants.direct import Direct
from contestants.envoy import Envoy
from contestants.haproxy import HAProxy
from contestants.nginx import Nginx
from contestants.passthrough import PassThrough
from contestants.tollgate import Tollgate

CONTESTANTS = {
    "tollgate": Tollgate,
    "haproxy": HAProxy,
    "nginx": Nginx,
    "envoy": Envoy,
    "passthrough": PassThrough,
    "direct": Direct,
}
