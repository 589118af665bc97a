"""Who may make a call, and how it is authorised; nothing else knows keys or tokens.

```
credential   unproven, proven or stopped; the first call alone, a refused one renewed or stopped
held         an authorization for one scope: one renewal for all who wait, in good time
proving      who may try a credential that is not proven
offers       what many credentials present alike is offered by one first
reasons      what a refusal means to an operator
kinds/       a file for each kind of credential
presenter    who presents an authorization, as far as that may be shown
asking, answers  what identity services are asked, and what they grant
flow         how an authorization is obtained: what to ask, without asking it
signing, tokens  what authorises a call: keys that sign it, or a token that goes with it
```
"""
