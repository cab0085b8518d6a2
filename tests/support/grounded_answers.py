"""Closed-context questions with supported and unsupported answers, to measure the threshold."""

from self_instruct.rules.validators.closed_context_blocks import Block, ClosedContext

REPORT = Block(
    "The Marlow ferry was launched in 1908 and carried coal between Port Anselm and the island of Teyra for three "
    "decades. Her "
    "first captain, Ines Duarte, kept a diary in which she noted every storm. In the winter of 1931 the boiler "
    "cracked, and the "
    "ship lay idle for eleven months before a new one arrived from Bristol.",
    (("title", "A history of the Teyra line"), ("author", "R. Okafor"), ("date", "2019-03-02"), ("url",
    "https://teyra.example/ferry")),
)  # fmt: skip
TICKET = Block(
    "Since version 4.2 the export dialog freezes when a sheet has over 65,000 rows. Steps: open the attached "
    "workbook, choose "
    "Export, pick CSV. The progress bar stops at 71 percent and the log shows a timeout in ChunkWriter. Reverting to "
    "4.1 helps. "
    "Priya suspects the new buffer size of 512 bytes.",
    (("ticket", "EXP-2231"), ("status", "open"), ("reporter", "Priya Nair")),
)  # fmt: skip
STUDY = Block(
    "We gave 48 adult newts a diet of dried shrimp for nine weeks. Animals that were fed at dusk gained 12 percent "
    "more weight than "
    "those fed at dawn, while colour and activity did not differ between the groups. Two newts of the dawn group escaped.",
    (("journal", "Letters in Amphibian Care"), ("year", "2011")),
)
SPEECH = Block(
    "Neighbours, the footbridge at Lower Quill will close on the ninth of May. We have raised 14,300 crowns, half of "
    "what the "
    "carpenters ask. Until autumn the ferryman will row anyone across for free, except on market days.",
    (("speaker", "Mayor Tolvanen"), ("place", "Lower Quill")),
)

SUPPORTED = [
    (REPORT, "Who was the first captain?", "The first captain of the Marlow was Ines Duarte."),
    (REPORT, "What happened in 1931?", "In the winter of 1931 the boiler cracked, so the ship lay idle for eleven months."),
    (REPORT, "Summarise the text.",
    "The Marlow, a ferry launched in 1908, carried coal to Teyra for three decades. Its boiler cracked "
     "in 1931, and a replacement came from Bristol eleven months later."),
    (REPORT, "Who wrote this?", "It was written by R. Okafor."),
    (TICKET, "Which version has the bug?", "The bug has been there since version 4.2; version 4.1 works."),
    (TICKET, "List the steps.", "1. Open the attached workbook.\n2. Choose Export.\n3. Pick CSV."),
    (TICKET, "What does Priya suspect?", "She suspects the new buffer size, which is 512 bytes."),
    (TICKET, "What is seen?", "The progress bar stops at 71 percent, and the log has a timeout in ChunkWriter."),
    (STUDY, "How many animals were there?", "There were 48 adult newts in the study."),
    (STUDY, "What was found?",
    "Newts fed at dusk gained 12 percent more weight than newts fed at dawn. Colour and activity did not "
     "differ."),
    (STUDY, "How long did it take?", "The diet was given for nine weeks."),
    (SPEECH, "How much is raised?", "14,300 crowns were raised, which is half of what the carpenters are asking."),
    (SPEECH, "How can people cross?", "The ferryman rows everyone across for free until autumn, but not on market days."),
    (SPEECH, "When does it close?", "The footbridge closes on the ninth of May."),
    (SPEECH, "Rewrite it as a notice.",
    "NOTICE: The Lower Quill footbridge closes on the ninth of May. Free ferry until autumn, except on "
     "market days."),
]  # fmt: skip

UNSUPPORTED = [
    (REPORT, "Who was the first captain?", "Her first commander was Admiral Nelson, a hero of Trafalgar."),
    (REPORT, "What happened in 1931?", "A fire destroyed the vessel's engine room and killed several passengers."),
    (REPORT, "What did it carry?", "Passengers, mail, and sometimes livestock from the mainland."),
    (REPORT, "Summarise the text.",
    "This vessel transported tourists along the Norwegian coast and was later turned into a museum in "
     "Oslo."),
    (TICKET, "Which version has the bug?", "Every release after Windows 95 shows this behaviour."),
    (TICKET, "List the steps.", "1. Click Settings.\n2. Press the red button.\n3. Restart your computer."),
    (TICKET, "What does Priya suspect?", "A memory leak caused by the garbage collector in the rendering thread."),
    (STUDY, "How many animals were there?", "Around two hundred frogs took part in this experiment."),
    (STUDY, "What was found?", "Feeding time had no influence, although temperature strongly affected growth and survival."),
    (STUDY, "How long did it take?", "Researchers observed the subjects during approximately three years."),
    (SPEECH, "How much is raised?", "About a million dollars came from wealthy donors and the government."),
    (SPEECH, "How can people cross?",
    "Buses leave hourly from the central station, and taxis are subsidised by the city council."),
    (SPEECH, "When does it close?", "Construction begins next January after the elections."),
]  # fmt: skip


def question(block: Block, asked: str) -> ClosedContext:
    """Return a question about one block."""
    return ClosedContext((block,), asked)
