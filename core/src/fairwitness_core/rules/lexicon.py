"""The word lists and patterns that `wording` applies. Lists meet lower-case text without accents or disguises."""

import re
from typing import NamedTuple

# Words that fill a box and say nothing; most are taken from released audit logs, where they stand alone by the hundred.
GENERIC = frozenset(
    """
    active activity administrative agency any area asap assist assistance atl attempt bolo business camera cameras case cases
    clip clips contact crime crimes criminal data detective dept department detail details doorbell enforcement evidence
    follow followup footage freeform general help images incident incidents info information inquiry intel intelligence inv
    invest investigate investigated investigating investigation investigations investigative investigator issue law lead leads
    legal locate look looking lookup lpr matter misc miscellaneous multigeo need needed needs none observed occurred offense
    officer official officers ongoing open other patrol pd people person persons plate please police possible possibly progress
    property provide purpose purposes query reason recording recordings ref reference regarding related relevant report reported
    request requested resident residents review search searching see sheriff something subject subjects submit surveillance
    susp suspect suspects suspected suspicious task tbd test testing training unknown update upload uploads use various veh
    vehicle vehicles video videos view visual wanted warrant warrants witness witnesses
    caso crimen informacion investigacion policia sospechoso
    """.split()  # noqa: SIM905 - a word list reads better than 200 quotation marks
)
STOP = frozenset(
    """
    a about above after again all also am an and are around as at be because been before being below between both but by can
    could did do does during each few for from had has have having he her here hers him his how i if in into is it its just
    may me might more most my near no nor not now of off on once one only or our out over own shall she should so some such
    than that the their them then there these they this those through to too under until up us very was we were what when
    where which while who whom why will with would you your
    de del desde donde el en entre es esta este hay la las lo los mas muy o para pero por que se si sin su sus un una y ya
    pm hrs hours hour today yesterday tonight monday tuesday wednesday thursday friday saturday sunday january february
    march april june july august september october november december
    """.split()  # noqa: SIM905
)


def _any_of(lines: str, *, words: bool = True) -> re.Pattern[str]:
    """Make one pattern of the lines, each an alternative; `words` asks for word boundaries around it."""
    choices = "|".join(line.strip() for line in lines.strip().splitlines())
    return re.compile(rf"\b(?:{choices})\b" if words else choices, re.IGNORECASE)


_TLDS = (
    "ai|app|be|biz|cc|ch|click|club|cloud|co|com|de|dev|edu|es|eu|fr|fyi|gd|gg|gl|gle|gov|id|info|int|io|is|it|ly|link|live|"
    "me|mil|mobi|net|news|nl|online|org|page|ru|sh|shop|site|so|st|store|tech|tk|to|top|tv|uk|us|vip|web|website|ws|xyz|"
    r"xn--[a-z0-9-]+|\u0440\u0444|\u0431\u0435\u043b|\u0443\u043a\u0440|\u4e2d\u56fd|\u4e2d\u570b|\u516c\u53f8|\ud55c\uad6d|\u092d\u093e\u0930\u0924"
)
LINK = _any_of(
    rf"""
    \b(?:https?|hxxps?|ftps?|data|javascript|file|mailto|tel|sms|intent)\s*:(?:\s*/\s*/|\S)
    \w\s*:\s*//
    \bwww\s*[.\d]
    (?<![\w@])[^\W_][\w-]*(?:\.[\w-]+)*\.(?:{_TLDS})(?![\w.]*[^\W\d_])
    \b[\w-]+(?:\.[\w-]+)*\.[a-z]{{2,}}/\S
    \b\w+\s*[\[({{]?\s*\bdot\b\s*[\])}}]?\s*(?:{_TLDS})\b
    \b\w+\s*[\[({{]\s*\.\s*[\])}}]\s*\w+
    (?<![\d.])(?:\d{{1,3}}\.){{3}}\d{{1,3}}(?![\d.])
    \b(?:qr code|tinyurl|bitly|click here|haga clic)\b
    """,
    words=False,
)
MARKUP = re.compile(r"<\s*/?\s*[a-z!][^>]*>|!?\[[^\]]*\]\s*\(|&(?:[a-z]+|#\d+);|\{\{|\]\]>", re.IGNORECASE)
EMAIL = re.compile(r"[\w.+-]+\s*(?:@|[\[(]\s*at\s*[\])])\s*[\w-]+(?:\.[\w-]+)*", re.IGNORECASE)
DATE = re.compile(r"\b(?:\d{4}-\d{2}-\d{2}|\d{1,2}[/.]\d{1,2}[/.]\d{2,4})\b")
PHONE = _any_of(
    r"""
    (?<!\w)\+?(?:1[ .-]?)?\(?\d{3}\)?[ .\-\u2010-\u2015]{0,3}\d{3}[ .\-\u2010-\u2015]{0,3}\d{4}(?!\w)
    (?<!\w)\d{3}[-.\u2010-\u2015]\d{4}(?!\w)
    \+\d[\d ().-]{6,}\d
    (?<!\w)\d{10,}(?!\w)
    """,
    words=False,
)
CASE_NUMBER = re.compile(r"(?<![\w])[a-z]{0,4}[-# ]?\d{2,4}[-/ ]?\d{3,8}(?!\w)", re.IGNORECASE)
PRESSURE = _any_of(
    r"""
    you (?:must|have to|are (?:required|obliged|obligated|ordered))
    required (?:by law )?to
    mandatory|compulsory|comply|subpoena\w*|prosecut\w+|obligat\w+|oblig[ae]d[oa]s?
    legally (?:bound|required|obliged|obligated)
    failure to
    fail to (?:comply|respond|share)
    (?:will|may|could) be (?:charged|prosecuted|arrested|fined|held|subject)
    or else|last chance|final notice|do not ignore|don't ignore
    obstruct\w* (?:of )?(?:justice|an?)
    (?:your|civic|a) duty
    we (?:already )?know (?:who|you|that you)
    if you (?:refuse|do not|don't)
    refus(?:e|al|ing) to (?:share|help|cooperate|co-operate)
    (?:face|suffer) consequences
    we will (?:come|visit|knock)
    deben? (?:compartir|enviar|entregar)
    sera multad[oa]
    """
)
VICTIM = _any_of(
    r"""
    victim(?:'s|s')? (?:name|address|home|residence|age|identity|phone|photo)
    (?:name|identity) of (?:the )?victim
    (?:rape|assault|abuse|trafficking|domestic violence) (?:victim|survivor)s?
    date of birth|d\.?o\.?b|ssn|social security
    (?:lives|living|resides|residing|dwells|staying) at
    home address
    (?:her|his|their) (?:home|residence|apartment|address) (?:at|is)
    diagnos\w+|medical (?:condition|history)|hiv|suicid\w+
    """
)
VICTIM_NAME = re.compile(r"\b[Vv]ictim,? (?:(?:Mr|Mrs|Ms|Miss|Dr)\.? )?[A-Z][a-z]+(?: [A-Z][a-z]+)+")
ADDRESS = _any_of(
    r"""
    (?<![\w-])\d{1,5}[a-z]? (?!block\b)(?:(?:[nsew]|north|south|east|west)\.? )?(?:[\w'.-]+ ){1,3}"""
    r"""(?:st|street|ave|avenue|rd|road|blvd|boulevard|dr|drive|ln|lane|ct|court|pl|place|way|ter|terrace|cir|circle|pkwy|hwy)\b
    \b(?:apt|apartment|unit|suite)\.? ?#? ?\d+[a-z]?\b
    """,
    words=False,
)
SLUR = _any_of(
    r"""
    gyps(?:y|ies)|gipsy|gypos?|gyppos?|pikeys?
    wetbacks?|beaners?|towelheads?|ragheads?|chinks?
    """
)
ACRONYM_ICE = re.compile(r"(?<!\w)ICE(?!\w)")


class Purpose(NamedTuple):
    """A purpose that is never served, and the words that betray it."""

    rule: str
    message: str
    hint: str
    pattern: re.Pattern[str]


PURPOSES = (
    Purpose(
        "purpose.immigration",
        "the text speaks of immigration",
        "immigration enforcement is never a purpose here; describe the crime, if there was one",
        _any_of(
            r"""
            immigra|inmigra|\bmigrants?\b|\bmigrantes?\b
            deport(?:ation|ee|able|ed|ing|acion)
            undocumented|indocumentad|\billegals\b|\baliens?\b
            illegal (?:alien|immigrant|entry|reentry|re-entry)
            \bice (?:agent|raid|detain|hold|warrant|ero|officer|facility|custody|request|admin)
            \b(?:for|by|with|from|per|assist(?:ing)?) ice\b|\bi\.c\.e\b
            \bcbp\b|\busbp\b|border patrol|\bero\b|287 ?\(?g\)?|la migra\b
            \bvisa overstay|green ?card|\basylum\b|residency status
            removal (?:order|proceeding)
            citizenship (?:status|check)
            homeland security (?:civil|enforcement and removal)
            """,
            words=False,
        ),
    ),
    Purpose(
        "purpose.reproductive",
        "the text speaks of reproductive care",
        "lawful health care is never a purpose here; describe the crime, if there was one",
        _any_of(
            r"""
            \babort(?:ion|ions|ionist|o|os)\b|had an abort|abortifacient|planned parenthood
            terminat\w+ (?:of )?(?:a |the |her )?pregnan
            reproductive (?:health|care|right|service|clinic)
            mifepristone|misoprostol|\bplan b\b|contracepti
            fertility clinic|\bivf\b|miscarr(?:iage|ied)|fetal remains
            """,
            words=False,
        ),
    ),
    Purpose(
        "purpose.gender",
        "the text speaks of gender-affirming care or identity",
        "lawful health care and identity are never a purpose here; describe the crime, if there was one",
        _any_of(
            r"""
            gender[ -]?(?:affirm|clinic|transition|identity|reassign|dysphoria|confirm)
            puberty block|hormone (?:therapy|replacement|treatment)
            \btrans ?gender|\btranssexual|sex change|cross[- ]?dress
            \btrans (?:kid|youth|teen|woman|man|person|people|child)
            drag (?:show|queen|story)
            """,
            words=False,
        ),
    ),
    Purpose(
        "purpose.assembly",
        "the text speaks of an assembly, a protest or a belief",
        "lawful assembly is never a purpose here; if a crime happened there, describe only the crime",
        _any_of(
            r"""
            \bprotest|\bdemonstrat(?:ion|ions|or|ors|ing)\b|\brall(?:y|ies|ied)\b
            \bmarch(?:ers|ing)\b|\bmarch (?:against|for|on|to)\b
            \bvigils?\b|\bpicket|\bactivis[tm]|\bsit-?ins?\b|\bboycott|civil disobedience
            \bno kings\b|\b50501\b|\bblm\b|black lives matter|\bantifa\b|\boccupy (?:camp|movement)
            first amendment|free speech|\bdissident|\bpride (?:parade|march|event)
            union (?:meeting|drive|organi|strike)|(?:labor|labour|general) strike
            political (?:event|meeting|rally|gathering|speech)|campaign (?:event|rally)
            (?:prayer|church|worship|mosque|synagogue|temple) (?:service|meeting|gathering|attend)|worshipp?ers
            manifestacion|manifestantes|\bhuelga\b|\bmarcha\b
            """,
            words=False,
        ),
    ),
)
