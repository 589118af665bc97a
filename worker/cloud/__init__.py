"""The only HTTP client of the house: how Huawei Cloud's image service is asked and told.

```
ims          list shared images, update members, get job
credentials  whose keys sign; the first call alone, a refused key stopped, failed reads repeated
account      the limits of one account, and what its refusals teach
transport    one exchange over HTTP, whatever comes of it
proxies      the way to an origin      bodies         what arrives, unpacked and bounded
wire         bodies of answers -> values          refusals     answers that say no -> errors
throttle     when a call may leave                signing      SDK-HMAC-SHA256
regions      region -> host                       redaction    foreign text without secrets
```
"""
